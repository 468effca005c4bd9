-- grain: one version of an order in one file, or one current version; a build for the file date recomputes its order
-- key: none; an order may repeat, because each build removes repetitions anyway
-- sources: orders_staging.orders_raw, orders_core.latest_orders
-- write disposition: none; a view
CREATE OR REPLACE VIEW orders_core.affected_orders AS
SELECT
    orders_raw.file_date,
    orders_raw.id AS order_id
FROM orders_staging.orders_raw
UNION ALL
SELECT
    latest_orders.file_date,
    latest_orders.order_id
FROM orders_core.latest_orders;

COMMENT ON VIEW orders_core.affected_orders IS
'The orders that a build for one file date recomputes: orders in the file, and orders whose current version it brought';
COMMENT ON COLUMN orders_core.affected_orders.file_date IS 'Date of the file';
COMMENT ON COLUMN orders_core.affected_orders.order_id IS 'Identifier of the order';
