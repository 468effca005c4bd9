-- from: commerce_staging.shipment_deliveries
SELECT
    shipments.tableoid,
    shipments.ctid,
    shipments AS source_row
FROM commerce_staging.shipment_deliveries AS shipments
WHERE
    EXISTS (
        SELECT 1
        FROM commerce_staging.orders
        WHERE
            orders.order_id = shipments.order_id
            AND (
                (shipments.shipment_date >= orders.order_date + 6 AND shipments.delivery_date IS NULL)
                OR (
                    shipments.shipment_date IS NULL
                    AND shipments.delivery_date IS NULL
                    AND %(ingestion_date)s::date >= orders.order_date + 15
                )
            )
    );

-- from: commerce_staging.orders
SELECT
    orders.tableoid,
    orders.ctid,
    orders AS source_row
FROM commerce_staging.orders
WHERE
    EXISTS (
        SELECT 1
        FROM commerce_staging.shipment_deliveries AS shipments
        WHERE
            shipments.order_id = orders.order_id
            AND (
                (shipments.shipment_date >= orders.order_date + 6 AND shipments.delivery_date IS NULL)
                OR (
                    shipments.shipment_date IS NULL
                    AND shipments.delivery_date IS NULL
                    AND %(ingestion_date)s::date >= orders.order_date + 15
                )
            )
    );
