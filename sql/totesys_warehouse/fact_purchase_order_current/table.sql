-- grain: one purchase order that is in the source: the version that was loaded last, whatever its last_updated, unless
--   it is deleted
-- key: purchase_order_id
-- sources: totesys_warehouse.fact_purchase_order
-- write disposition: none; a view
CREATE OR REPLACE VIEW totesys_warehouse.fact_purchase_order_current AS
WITH latest AS (
    SELECT DISTINCT ON (purchase_order_id) *
    FROM totesys_warehouse.fact_purchase_order
    ORDER BY purchase_order_id ASC, load_id DESC, last_updated_date DESC, last_updated_time DESC
)

SELECT
    purchase_record_id,
    purchase_order_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    staff_id,
    counterparty_id,
    item_code,
    item_quantity,
    item_unit_price,
    currency_id,
    agreed_delivery_date,
    agreed_payment_date,
    agreed_delivery_location_id
FROM latest
WHERE deleted_at IS NULL;

COMMENT ON VIEW totesys_warehouse.fact_purchase_order_current
IS 'The current version of each purchase order that is in the source';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.purchase_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.purchase_order_id
IS 'Identifier of the purchase order in the source';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.created_date IS 'Date when the source created the row';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.created_time
IS 'Time when the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.last_updated_date
IS 'Date of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.last_updated_time
IS 'Time of the change that made this version, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.staff_id IS 'Staff member who ordered';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.counterparty_id IS 'Business partner who delivers';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.item_code IS 'Code of the item';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.item_quantity IS 'Number of pieces';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.item_unit_price IS 'Price of one piece in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.agreed_delivery_date IS 'Agreed date of the delivery';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.agreed_payment_date IS 'Agreed date of the payment';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order_current.agreed_delivery_location_id
IS 'Agreed place of the delivery';
