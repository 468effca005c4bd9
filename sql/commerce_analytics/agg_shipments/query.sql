-- grain: one as-of date
-- key: ingestion_date
-- parameters: ingestion_date (date, the as-of date)
-- sources: commerce_staging.orders, commerce_staging.shipment_deliveries
-- write disposition: replace partition (ingestion_date)
-- rules: a shipment is late if shipment_date >= order_date + 6 days and delivery_date is null (rejected: > 6 days;
--   counting distinct dates);
--   a shipment is undelivered if both dates are null and as-of >= order_date + 15 days (rejected: > 15 days; = 15 days;
--   shipped but not delivered);
--   shipments are counted; a shipment without a staged order has no order date and does not count (rejected: the sum of
--   quantities)
SELECT
    %(ingestion_date)s::date AS ingestion_date,
    (count(*) FILTER (
        WHERE shipments.shipment_date >= orders.order_date + 6 AND shipments.delivery_date IS NULL
    ))::integer AS tt_late_shipments,
    (count(*) FILTER (
        WHERE
        shipments.shipment_date IS NULL
        AND shipments.delivery_date IS NULL
        AND %(ingestion_date)s::date >= orders.order_date + 15
    ))::integer AS tt_undelivered_items
FROM commerce_staging.shipment_deliveries AS shipments
INNER JOIN commerce_staging.orders ON shipments.order_id = orders.order_id
