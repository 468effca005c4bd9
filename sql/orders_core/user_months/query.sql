-- grain: one staff member and month with orders
-- key: user_id, month
-- parameters: day (date of the loaded file)
-- sources: orders_core.latest_orders
-- write disposition: merge by (user_id, month)
-- rules: all orders count, including test orders (rejected: leaving test orders out);
--   created_at decides the month, in UTC (rejected: the date of the file, which changes with each new version; the
--   local date of the order);
--   a month without orders has no row, and an order without user_id belongs to no user
SELECT
    affected.user_id,
    affected.month,
    counted.num_orders
FROM affected_user_months AS affected
INNER JOIN LATERAL (
    SELECT count(*) AS num_orders
    FROM orders_core.latest_orders AS orders
    WHERE
        orders.user_id = affected.user_id
        AND orders.created_at >= affected.month::timestamp AT TIME ZONE 'UTC'
        AND orders.created_at < (affected.month + interval '1 month') AT TIME ZONE 'UTC'
) AS counted ON TRUE
WHERE counted.num_orders > 0
