-- fail: orders do not have exactly one row
SELECT
    affected.transaction_id,
    count(orders_table.transaction_id) AS row_count
FROM affected_orders_table AS affected
LEFT JOIN orders_core.latest_orders ON affected.transaction_id = latest_orders.order_id AND NOT latest_orders.is_test
LEFT JOIN orders_core.orders_table ON affected.transaction_id = orders_table.transaction_id
GROUP BY affected.transaction_id
HAVING count(orders_table.transaction_id) <> count(latest_orders.order_id);

-- fail: totals differ from the delivered orders
WITH delivered AS (
    SELECT
        count(*) AS order_count,
        sum(latest_orders.total_price) AS total_price,
        sum(latest_orders.total_price_usd) AS total_price_usd,
        sum(latest_orders.subtotal_price) AS subtotal_price,
        sum(latest_orders.total_tax) AS total_tax,
        sum(latest_orders.total_discounts) AS total_discounts,
        sum(latest_orders.total_line_items_price) AS total_line_items_price
    FROM affected_orders_table AS affected
    INNER JOIN orders_core.latest_orders ON affected.transaction_id = latest_orders.order_id
    WHERE NOT latest_orders.is_test
),

built AS (
    SELECT
        count(*) AS order_count,
        sum(orders_table.total_price) AS total_price,
        sum(orders_table.total_price_usd) AS total_price_usd,
        sum(orders_table.subtotal_price) AS subtotal_price,
        sum(orders_table.total_tax) AS total_tax,
        sum(orders_table.total_discounts) AS total_discounts,
        sum(orders_table.total_line_items_price) AS total_line_items_price
    FROM affected_orders_table AS affected
    INNER JOIN orders_core.orders_table ON affected.transaction_id = orders_table.transaction_id
)

SELECT
    delivered.order_count,
    delivered.total_price,
    built.order_count AS built_count,
    built.total_price AS built_price
FROM delivered
CROSS JOIN built
WHERE delivered IS DISTINCT FROM built;
