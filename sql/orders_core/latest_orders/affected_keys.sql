-- grain: one order that the build recomputes
-- sources: orders_core.affected_orders
WITH affected AS (
    SELECT order_id
    FROM orders_core.affected_orders
    WHERE file_date = %(day)s
)

SELECT order_id
FROM affected
