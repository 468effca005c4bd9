-- grain: one sales order that is in the source, as it is now: the version that came last, whatever the
--   source's clock said, where it is not deleted
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
