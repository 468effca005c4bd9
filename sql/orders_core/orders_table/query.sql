-- grain: one order that is not a test
-- key: transaction_id
-- parameters: day (date of the loaded file)
-- sources: orders_core.latest_orders
-- write disposition: merge by (transaction_id)
-- rules: orders_core.latest_orders decides the version of an order (rejected: keeping the first version on conflict;
--   the last order of the file);
--   test orders are left out;
--   an order is online if it has a checkout_id (rejected: by source_name);
--   totals come from the orders, without a join with the line items (rejected: sums that repeat an order for each line
--   item)
SELECT
    latest_orders.order_id AS transaction_id,
    latest_orders.order_number,
    latest_orders.checkout_id,
    latest_orders.location_id,
    latest_orders.gateway AS payment_type,
    latest_orders.name AS product,
    latest_orders.created_at,
    latest_orders.processed_at,
    latest_orders.updated_at,
    latest_orders.cancelled_at,
    latest_orders.cancel_reason AS cancellation_reason,
    latest_orders.processing_method,
    latest_orders.subtotal_price,
    latest_orders.total_discounts,
    latest_orders.total_line_items_price,
    latest_orders.total_price,
    latest_orders.total_price_usd,
    latest_orders.total_tax,
    latest_orders.total_weight,
    latest_orders.checkout_id IS NOT NULL AS is_online_order
FROM affected_orders_table AS affected
INNER JOIN orders_core.latest_orders ON affected.transaction_id = latest_orders.order_id
WHERE NOT latest_orders.is_test
