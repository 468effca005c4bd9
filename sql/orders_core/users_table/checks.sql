-- fail: order counts differ from the users' months
SELECT
    affected.user_id,
    users_table.num_orders,
    counted.num_orders AS months_count
FROM affected_users_table AS affected
INNER JOIN LATERAL (
    SELECT sum(months.num_orders) AS num_orders
    FROM orders_core.user_months AS months
    WHERE months.user_id = affected.user_id
) AS counted ON TRUE
LEFT JOIN orders_core.users_table ON affected.user_id = users_table.user_id
WHERE users_table.num_orders IS DISTINCT FROM counted.num_orders;

-- fail: users with orders have no row, or users without orders have a row
SELECT affected.user_id
FROM affected_users_table AS affected
WHERE
    EXISTS (
        SELECT FROM orders_core.users_table AS built
        WHERE built.user_id = affected.user_id
    )
    <> EXISTS (
        SELECT FROM orders_core.latest_orders AS orders
        WHERE orders.user_id = affected.user_id
    );

-- fail: first orders are later than last orders
SELECT
    users_table.user_id,
    users_table.first_order_timestamp,
    users_table.last_order_timestamp
FROM affected_users_table AS affected
INNER JOIN orders_core.users_table ON affected.user_id = users_table.user_id
WHERE users_table.first_order_timestamp > users_table.last_order_timestamp;
