-- grain: one version of a purchase order whose dimensions are there, staged or released by the quarantine
-- key: purchase_order_id, last_updated
-- sources: totesys_staging.purchase_order, totesys_warehouse.quarantine
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW totesys_warehouse.purchase_order_arrivals AS
SELECT
    purchase_order.purchase_order_id,
    purchase_order.created_at,
    purchase_order.last_updated,
    purchase_order.staff_id,
    purchase_order.counterparty_id,
    purchase_order.item_code,
    purchase_order.item_quantity,
    purchase_order.item_unit_price,
    purchase_order.currency_id,
    purchase_order.agreed_delivery_date,
    purchase_order.agreed_payment_date,
    purchase_order.agreed_delivery_location_id,
    NULL::timestamptz AS deleted_at,
    purchase_order.load_id
FROM totesys_staging.purchase_order
WHERE
    NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.quarantine
        WHERE
            quarantine.source_table = 'purchase_order' AND purchase_order.purchase_order_id = quarantine.source_id
            AND purchase_order.last_updated = quarantine.last_updated
    )
UNION ALL
SELECT
    source_row.purchase_order_id,
    source_row.created_at,
    source_row.last_updated,
    source_row.staff_id,
    source_row.counterparty_id,
    source_row.item_code,
    source_row.item_quantity,
    source_row.item_unit_price,
    source_row.currency_id,
    source_row.agreed_delivery_date,
    source_row.agreed_payment_date,
    source_row.agreed_delivery_location_id,
    quarantine.deleted_at,
    source_row.load_id
FROM totesys_warehouse.quarantine
CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.purchase_order, quarantine.source_row) AS source_row
WHERE quarantine.source_table = 'purchase_order' AND NOT quarantine.is_waiting;
