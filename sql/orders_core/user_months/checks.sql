-- fail: order counts differ from the orders of the month
SELECT
    affected.user_id,
    affected.month,
    user_months.num_orders,
    counted.order_count
FROM affected_user_months AS affected
INNER JOIN LATERAL (
    SELECT count(*) AS order_count
    FROM orders_core.latest_orders AS orders
    WHERE
        orders.user_id = affected.user_id
        AND orders.created_at BETWEEN affected.month - interval '1 day' AND affected.month + interval '32 days'
        AND date_trunc('month', orders.created_at AT TIME ZONE 'UTC') = affected.month
) AS counted ON TRUE
LEFT JOIN orders_core.user_months ON affected.user_id = user_months.user_id AND affected.month = user_months.month
WHERE coalesce(user_months.num_orders, 0) <> counted.order_count;
