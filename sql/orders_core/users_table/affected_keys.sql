-- grain: one user of an order that the build recomputes, in its current version before the build or in any version in
--   the files
-- sources: orders_staging.orders_raw, orders_core.affected_orders, orders_core.latest_orders
WITH touched AS (
    WITH affected AS (
        SELECT order_id
        FROM orders_core.affected_orders
        WHERE file_date = %(day)s
    )

    SELECT
        latest_orders.user_id,
        date_trunc('month', latest_orders.created_at AT TIME ZONE 'UTC')::date AS month
    FROM affected
    INNER JOIN orders_core.latest_orders ON affected.order_id = latest_orders.order_id
    WHERE latest_orders.user_id IS NOT NULL
    UNION
    SELECT
        versions.user_id,
        date_trunc('month', versions.created_at AT TIME ZONE 'UTC')::date AS month
    FROM affected
    INNER JOIN orders_staging.orders_raw AS versions ON affected.order_id = versions.id
    WHERE versions.user_id IS NOT NULL
)

SELECT DISTINCT user_id
FROM touched
