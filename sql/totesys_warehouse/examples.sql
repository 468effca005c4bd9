-- question: What was the value of the sales of each month, by currency?
SELECT
    c.currency_code,
    date_trunc('month', s.created_date)::date AS sales_month,
    sum(s.units_sold * s.unit_price) AS sales_value
FROM totesys_warehouse.fact_sales_order_current AS s
INNER JOIN totesys_warehouse.dim_currency AS c ON s.currency_id = c.currency_id
GROUP BY sales_month, c.currency_code
ORDER BY sales_month, c.currency_code;

-- question: Which versions does a sales order have, from the oldest to the newest?
SELECT
    sales_order_id,
    last_updated_date,
    last_updated_time,
    units_sold,
    unit_price,
    deleted_at
FROM totesys_warehouse.fact_sales_order
WHERE sales_order_id = 1
ORDER BY last_updated_date, last_updated_time;
