-- grain: one line item of the current version of an order that is not a test
-- key: transaction_id, position
-- parameters: day (date of the loaded file)
-- sources: orders_core.latest_orders
-- write disposition: merge by (transaction_id)
-- rules: the position in the order identifies a line item (rejected: its id, which may repeat);
--   line items that only an earlier version of the order holds are removed (rejected: line items of all versions);
--   an order whose line_items are null or empty has no rows; test orders are left out
SELECT
    latest_orders.order_id AS transaction_id,
    item.position::integer AS position,
    (item.fields ->> 'id')::bigint AS line_item_id,
    (item.fields ->> 'product_id')::bigint AS product_id,
    (item.fields ->> 'variant_id')::bigint AS variant_id,
    (item.fields ->> 'quantity')::integer AS quantity
FROM affected_order_details AS affected
INNER JOIN orders_core.latest_orders ON affected.transaction_id = latest_orders.order_id
CROSS JOIN LATERAL jsonb_array_elements(latest_orders.line_items) WITH ORDINALITY AS item (fields, position)
WHERE NOT latest_orders.is_test
