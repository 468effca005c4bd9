-- question: What was the turnover of each day, without cancelled orders?
SELECT
    date(created_at AT TIME ZONE 'UTC') AS order_day,
    count(*) AS order_count,
    sum(total_price_usd) AS total_price_usd
FROM orders_core.orders_table
WHERE cancelled_at IS NULL
GROUP BY order_day
ORDER BY order_day;

-- question: Which ten products were sold most often?
SELECT
    product_id,
    sum(quantity) AS quantity
FROM orders_core.order_details
GROUP BY product_id
ORDER BY quantity DESC, product_id ASC
LIMIT 10;
