-- grain: one order: its current version among the files of all days
-- key: order_id
-- parameters: day (date of the loaded file)
-- sources: orders_staging.orders_raw
-- write disposition: merge by (order_id)
-- rules: the current version has the latest updated_at; ties go to the latest file (rejected: the first delivery; the
--   last delivery, whatever its updated_at; every version);
--   an order that the day's new file lacks takes its version from another file, and is removed if no file holds it
--   (rejected: keeping the lost version);
--   of versions with the same updated_at in the same file, the content decides, so that every run selects the same
--   version (rejected: any of them)
SELECT
    latest.order_id,
    latest.file_date,
    latest.load_id,
    latest.updated_at,
    latest.is_test,
    latest.user_id,
    latest.created_at,
    latest.order_date,
    latest.processed_at,
    latest.cancelled_at,
    latest.cancel_reason,
    latest.order_number,
    latest.name,
    latest.email,
    latest.phone,
    latest.buyer_accepts_marketing,
    latest.location_id,
    latest.checkout_id,
    latest.gateway,
    latest.processing_method,
    latest.subtotal_price,
    latest.total_discounts,
    latest.total_line_items_price,
    latest.total_price,
    latest.total_price_usd,
    latest.total_tax,
    latest.taxes_included,
    latest.total_weight,
    latest.line_items
FROM affected_latest_orders AS affected
CROSS JOIN LATERAL (
    SELECT
        versions.id AS order_id,
        versions.file_date,
        versions.load_id,
        versions.updated_at,
        versions.test AS is_test,
        versions.user_id,
        versions.created_at,
        versions.order_date,
        versions.processed_at,
        versions.cancelled_at,
        versions.cancel_reason,
        versions.order_number,
        versions.name,
        versions.email,
        versions.phone,
        versions.buyer_accepts_marketing,
        versions.location_id,
        versions.checkout_id,
        versions.gateway,
        versions.processing_method,
        versions.subtotal_price,
        versions.total_discounts,
        versions.total_line_items_price,
        versions.total_price,
        versions.total_price_usd,
        versions.total_tax,
        versions.taxes_included,
        versions.total_weight,
        versions.line_items
    FROM orders_staging.orders_raw AS versions
    WHERE versions.id = affected.order_id
    ORDER BY
        versions.updated_at DESC,
        versions.file_date DESC,
        to_jsonb(versions) - '{load_id,line_number}'::text[] DESC,
        versions.load_id DESC
    LIMIT 1
) AS latest
