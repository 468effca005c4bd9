-- from: orders_core.latest_orders
SELECT
    latest_orders.tableoid,
    latest_orders.ctid,
    latest_orders AS source_row
FROM orders_core.latest_orders
WHERE latest_orders.order_id = %(transaction_id)s;
