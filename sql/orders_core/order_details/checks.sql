-- fail: line items or quantities differ from the delivered orders
WITH delivered AS (
    SELECT
        latest_orders.order_id AS transaction_id,
        count(*) AS item_count,
        sum((item.fields ->> 'quantity')::integer) AS quantity
    FROM affected_order_details AS affected
    INNER JOIN orders_core.latest_orders ON affected.transaction_id = latest_orders.order_id
    CROSS JOIN LATERAL jsonb_array_elements(latest_orders.line_items) AS item (fields)
    WHERE NOT latest_orders.is_test
    GROUP BY latest_orders.order_id
),

built AS (
    SELECT
        affected.transaction_id,
        count(*) AS item_count,
        sum(order_details.quantity) AS quantity
    FROM affected_order_details AS affected
    INNER JOIN orders_core.order_details ON affected.transaction_id = order_details.transaction_id
    GROUP BY affected.transaction_id
)

SELECT
    delivered.item_count,
    delivered.quantity,
    built.item_count AS built_count,
    built.quantity AS built_quantity,
    coalesce(delivered.transaction_id, built.transaction_id) AS transaction_id
FROM delivered
FULL JOIN built ON delivered.transaction_id = built.transaction_id
WHERE delivered IS DISTINCT FROM built;

-- warn: line items have no id or share one
SELECT
    order_details.line_item_id,
    count(*) AS row_count
FROM affected_order_details AS affected
INNER JOIN orders_core.order_details ON affected.transaction_id = order_details.transaction_id
GROUP BY order_details.line_item_id
HAVING count(*) > 1 OR order_details.line_item_id IS NULL;
