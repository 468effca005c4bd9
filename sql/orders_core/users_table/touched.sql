-- grain: one user of an order that the build decides again: of what counted so far, or of any of its versions
-- sources: orders_staging.orders_raw, orders_core.latest_orders
WITH touched AS (
    SELECT orders_raw.id AS order_id
    FROM orders_staging.orders_raw
    WHERE orders_raw.file_date = %(day)s
    UNION
    SELECT latest_orders.order_id
    FROM orders_core.latest_orders
    WHERE latest_orders.file_date = %(day)s
)

SELECT latest_orders.user_id
FROM touched
INNER JOIN orders_core.latest_orders ON touched.order_id = latest_orders.order_id
WHERE latest_orders.user_id IS NOT NULL
UNION
SELECT versions.user_id
FROM touched
INNER JOIN orders_staging.orders_raw AS versions ON touched.order_id = versions.id
WHERE versions.user_id IS NOT NULL
