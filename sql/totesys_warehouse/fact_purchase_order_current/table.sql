-- grain: one purchase order that is in the source, as it is now: the version that came last, whatever the
--   source's clock said, where it is not deleted
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
