-- grain: one version of a purchase order
-- key: purchase_order_id, last_updated_date, last_updated_time
-- parameters: none
-- sources: totesys_warehouse.purchase_order_arrivals
-- write disposition: append, change all but (deleted_at)
-- rules: each version of a source row is one row; a version that arrives twice is one row (rejected: truncate and
--   append);
--   if the source changes a row without a new last_updated, the version takes the new values; the lake keeps the old
--   values (rejected: keeping the first values, which the source no longer has);
--   a version whose dimension rows are missing waits in the quarantine (rejected: dropping it; loading it without its
--   key);
--   a version that the source deleted while it waited is loaded with its deleted_at (rejected: ignoring the deletion)
SELECT
    purchase_order_id,
    created_at::date AS created_date,
    created_at::time(3) AS created_time,
    last_updated::date AS last_updated_date,
    last_updated::time(3) AS last_updated_time,
    staff_id,
    counterparty_id,
    item_code,
    item_quantity,
    item_unit_price,
    currency_id,
    agreed_delivery_date,
    agreed_payment_date,
    agreed_delivery_location_id,
    deleted_at,
    load_id
FROM totesys_warehouse.purchase_order_arrivals
