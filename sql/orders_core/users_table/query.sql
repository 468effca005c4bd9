-- grain: one staff member who took an order at the till
-- key: user_id
-- parameters: day (date of the loaded file)
-- sources: orders_core.latest_orders, orders_core.user_months
-- write disposition: merge by (user_id)
-- rules: all orders count, including test orders; a test order may be the first or the last order (rejected: leaving
--   test orders out, which would lose a user whose only order is a test);
--   created_at decides the first and the last order; of orders at the same instant, the lowest id is the first and the
--   highest id is the last (rejected: any of these orders);
--   contact fields come from the last order, even if they are null or empty there (rejected: the last values that are
--   not null);
--   num_orders adds up the months of orders_core.user_months (rejected: counting all orders of the user, which takes
--   longer with each year);
--   an order without user_id belongs to no user
SELECT
    affected.user_id,
    last_order.email,
    last_order.phone,
    last_order.location_id,
    last_order.buyer_accepts_marketing,
    first_order.created_at AS first_order_timestamp,
    first_order.name AS first_order_product,
    last_order.created_at AS last_order_timestamp,
    last_order.name AS last_order_product,
    counted.num_orders
FROM affected_users_table AS affected
INNER JOIN LATERAL (
    SELECT
        orders.created_at,
        orders.name
    FROM orders_core.latest_orders AS orders
    WHERE orders.user_id = affected.user_id
    ORDER BY orders.created_at ASC, orders.order_id ASC
    LIMIT 1
) AS first_order ON TRUE
INNER JOIN LATERAL (
    SELECT
        orders.created_at,
        orders.name,
        orders.email,
        orders.phone,
        orders.location_id,
        orders.buyer_accepts_marketing
    FROM orders_core.latest_orders AS orders
    WHERE orders.user_id = affected.user_id
    ORDER BY orders.created_at DESC, orders.order_id DESC
    LIMIT 1
) AS last_order ON TRUE
INNER JOIN LATERAL (
    SELECT sum(months.num_orders)::bigint AS num_orders
    FROM orders_core.user_months AS months
    WHERE months.user_id = affected.user_id
    HAVING count(*) > 0
) AS counted ON TRUE
