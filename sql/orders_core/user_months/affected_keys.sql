-- grain: one user and month of an order that the build recomputes, in its current version before the build or in any
--   version in the files; and each month of such a user without a row in user_months, such as after an upgrade
-- sources: orders_staging.orders_raw, orders_core.affected_orders, orders_core.latest_orders, orders_core.user_months
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
),

new_users AS (
    SELECT DISTINCT user_id
    FROM touched
    WHERE NOT EXISTS (
        SELECT FROM orders_core.user_months AS months
        WHERE months.user_id = touched.user_id
    )
)

SELECT
    user_id,
    month
FROM touched
UNION
SELECT
    new_users.user_id,
    earlier.month
FROM new_users
CROSS JOIN LATERAL (
    SELECT DISTINCT date_trunc('month', orders.created_at AT TIME ZONE 'UTC')::date AS month
    FROM orders_core.latest_orders AS orders
    WHERE orders.user_id = new_users.user_id
) AS earlier
