-- grain: one version of a sales order to load: staged and not waiting, or released by the quarantine
-- key: sales_order_id, last_updated
-- sources: totesys_staging.sales_order, totesys_warehouse.quarantine
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW totesys_warehouse.sales_order_arrivals AS
SELECT
    sales_order.sales_order_id,
    sales_order.created_at,
    sales_order.last_updated,
    sales_order.staff_id,
    sales_order.counterparty_id,
    sales_order.units_sold,
    sales_order.unit_price,
    sales_order.currency_id,
    sales_order.design_id,
    sales_order.agreed_payment_date,
    sales_order.agreed_delivery_date,
    sales_order.agreed_delivery_location_id,
    NULL::timestamptz AS deleted_at,
    sales_order.load_id
FROM totesys_staging.sales_order
WHERE
    NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.quarantine
        WHERE
            quarantine.source_table = 'sales_order' AND sales_order.sales_order_id = quarantine.source_id
            AND sales_order.last_updated = quarantine.last_updated
    )
UNION ALL
SELECT
    source_row.sales_order_id,
    source_row.created_at,
    source_row.last_updated,
    source_row.staff_id,
    source_row.counterparty_id,
    source_row.units_sold,
    source_row.unit_price,
    source_row.currency_id,
    source_row.design_id,
    source_row.agreed_payment_date,
    source_row.agreed_delivery_date,
    source_row.agreed_delivery_location_id,
    quarantine.deleted_at,
    source_row.load_id
FROM totesys_warehouse.quarantine
CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.sales_order, quarantine.source_row) AS source_row
WHERE quarantine.source_table = 'sales_order' AND NOT quarantine.is_waiting;

COMMENT ON VIEW totesys_warehouse.sales_order_arrivals
IS 'Versions of sales orders to load: staged versions that do not wait, and versions that the quarantine released';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.sales_order_id
IS 'Identifier of the sales order in the source';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.created_at
IS 'When the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.last_updated
IS 'When the source changed the row last, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.staff_id IS 'Staff member who made the sale';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.counterparty_id IS 'Business partner who buys';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.units_sold IS 'Number of pieces';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.unit_price IS 'Price of one piece in the currency';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.design_id IS 'Design that was sold';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.agreed_payment_date IS 'Agreed date of the payment';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.agreed_delivery_date IS 'Agreed date of the delivery';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.agreed_delivery_location_id IS 'Agreed place of the delivery';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.deleted_at
IS 'When a version that waited was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.sales_order_arrivals.load_id IS 'Load that brought the version; see ledger.loads';
