-- grain: one version of a purchase order to load: staged and not waiting, or released by the quarantine
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

COMMENT ON VIEW totesys_warehouse.purchase_order_arrivals
IS 'Versions of purchase orders to load: staged versions that do not wait, and versions that the quarantine released';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.purchase_order_id
IS 'Identifier of the purchase order in the source';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.created_at
IS 'When the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.last_updated
IS 'When the source changed the row last, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.staff_id IS 'Staff member who ordered';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.counterparty_id IS 'Business partner who delivers';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.item_code IS 'Code of the item';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.item_quantity IS 'Number of pieces';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.item_unit_price IS 'Price of one piece in the currency';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.agreed_delivery_date IS 'Agreed date of the delivery';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.agreed_payment_date IS 'Agreed date of the payment';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.agreed_delivery_location_id
IS 'Agreed place of the delivery';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.deleted_at
IS 'When a version that waited was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.purchase_order_arrivals.load_id
IS 'Load that brought the version; see ledger.loads';
