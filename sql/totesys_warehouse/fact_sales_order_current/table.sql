-- grain: one sales order that is in the source: the version that was loaded last, whatever its last_updated, unless it
--   is deleted
-- key: sales_order_id
-- sources: totesys_warehouse.fact_sales_order
-- write disposition: none; a view
CREATE OR REPLACE VIEW totesys_warehouse.fact_sales_order_current AS
WITH latest AS (
    SELECT DISTINCT ON (sales_order_id) *
    FROM totesys_warehouse.fact_sales_order
    ORDER BY sales_order_id ASC, load_id DESC, last_updated_date DESC, last_updated_time DESC
)

SELECT
    sales_record_id,
    sales_order_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    sales_staff_id,
    counterparty_id,
    units_sold,
    unit_price,
    currency_id,
    design_id,
    agreed_payment_date,
    agreed_delivery_date,
    agreed_delivery_location_id
FROM latest
WHERE deleted_at IS NULL;

COMMENT ON VIEW totesys_warehouse.fact_sales_order_current
IS 'The current version of each sales order that is in the source';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.sales_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.sales_order_id
IS 'Identifier of the sales order in the source';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.created_date IS 'Date when the source created the row';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.created_time
IS 'Time when the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.last_updated_date
IS 'Date of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.last_updated_time
IS 'Time of the change that made this version, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.sales_staff_id IS 'Staff member who made the sale';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.counterparty_id IS 'Business partner who buys';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.units_sold IS 'Number of pieces';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.unit_price IS 'Price of one piece in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.design_id IS 'Design that was sold';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.agreed_payment_date IS 'Agreed date of the payment';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.agreed_delivery_date IS 'Agreed date of the delivery';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order_current.agreed_delivery_location_id
IS 'Agreed place of the delivery';
