-- grain: one order that the day's file brings, or of which the version that counted so far stood in it
-- sources: orders_staging.orders_raw, orders_core.latest_orders
SELECT orders_raw.id AS transaction_id
FROM orders_staging.orders_raw
WHERE orders_raw.file_date = %(day)s
UNION
SELECT latest_orders.order_id AS transaction_id
FROM orders_core.latest_orders
WHERE latest_orders.file_date = %(day)s
