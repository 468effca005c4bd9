-- fail: order counts differ from the users' orders
SELECT
    affected.user_id,
    users_table.num_orders,
    count(orders.order_id) AS order_count
FROM affected_users_table AS affected
LEFT JOIN orders_core.users_table ON affected.user_id = users_table.user_id
LEFT JOIN orders_core.latest_orders AS orders ON affected.user_id = orders.user_id
GROUP BY affected.user_id, users_table.num_orders
HAVING coalesce(users_table.num_orders, 0) <> count(orders.order_id);

-- fail: first orders are later than last orders
SELECT
    users_table.user_id,
    users_table.first_order_timestamp,
    users_table.last_order_timestamp
FROM affected_users_table AS affected
INNER JOIN orders_core.users_table ON affected.user_id = users_table.user_id
WHERE users_table.first_order_timestamp > users_table.last_order_timestamp;
