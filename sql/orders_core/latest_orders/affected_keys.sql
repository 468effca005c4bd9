-- grain: one order that the build recomputes
-- sources: orders_core.affected_orders
SELECT order_id
FROM orders_core.affected_orders
WHERE file_date = %(day)s
