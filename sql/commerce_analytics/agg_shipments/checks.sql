-- fail: the as-of date does not have exactly one row
SELECT count(*) AS row_count
FROM commerce_analytics.agg_shipments
WHERE ingestion_date = %(ingestion_date)s
HAVING count(*) <> 1;

-- fail: late and undelivered shipments outnumber the staged shipments
WITH staged AS (
    SELECT count(*) AS shipment_count FROM commerce_staging.shipment_deliveries
)

SELECT
    counted.tt_late_shipments,
    counted.tt_undelivered_items,
    staged.shipment_count
FROM commerce_analytics.agg_shipments AS counted
CROSS JOIN staged
WHERE
    counted.ingestion_date = %(ingestion_date)s
    AND counted.tt_late_shipments + counted.tt_undelivered_items > staged.shipment_count;

-- warn: shipments have no staged order
SELECT
    shipments.shipment_id,
    shipments.order_id
FROM commerce_staging.shipment_deliveries AS shipments
LEFT JOIN commerce_staging.orders ON shipments.order_id = orders.order_id
WHERE orders.order_id IS NULL;

-- warn: orders are staged more than once or have several shipments
SELECT
    order_id,
    count(*) AS row_count
FROM (
    SELECT
        order_id,
        'orders' AS origin
    FROM commerce_staging.orders
    UNION ALL
    SELECT
        order_id,
        'shipments' AS origin
    FROM commerce_staging.shipment_deliveries
) AS staged
GROUP BY order_id, origin
HAVING count(*) > 1;
