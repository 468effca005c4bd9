-- from: orders_core.latest_orders
SELECT
    latest_orders.tableoid,
    latest_orders.ctid,
    latest_orders AS source_row
FROM orders_core.latest_orders
WHERE
    latest_orders.user_id = %(user_id)s
    AND latest_orders.created_at >= %(month)s::timestamp AT TIME ZONE 'UTC'
    AND latest_orders.created_at < (%(month)s::date + interval '1 month') AT TIME ZONE 'UTC';
