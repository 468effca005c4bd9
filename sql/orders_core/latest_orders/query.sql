-- grain: one order: of all its versions in the files of all days, the one that counts
-- key: order_id
-- parameters: day (date, of the file that was loaded)
-- sources: orders_staging.orders_raw
-- write disposition: merge by (order_id)
-- rules: of an order the version with the latest updated_at counts, then that of the latest file (rejected: the first
--   delivery; the last one, whatever its updated_at; all of them);
--   an order that the day's file has lost falls back to the version of another file, and is gone where there is none;
--   versions of the same instant in the same file are told apart by what they hold, so that every run takes the same
SELECT
    counting.order_id,
    counting.file_date,
    counting.load_id,
    counting.updated_at,
    counting.is_test,
    counting.user_id,
    counting.created_at,
    counting.order_date,
    counting.processed_at,
    counting.cancelled_at,
    counting.cancel_reason,
    counting.order_number,
    counting.name,
    counting.email,
    counting.phone,
    counting.buyer_accepts_marketing,
    counting.location_id,
    counting.checkout_id,
    counting.gateway,
    counting.processing_method,
    counting.subtotal_price,
    counting.total_discounts,
    counting.total_line_items_price,
    counting.total_price,
    counting.total_price_usd,
    counting.total_tax,
    counting.taxes_included,
    counting.total_weight,
    counting.line_items
FROM touched_latest_orders AS touched
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
    WHERE versions.id = touched.order_id
    ORDER BY
        versions.updated_at DESC,
        versions.file_date DESC,
        to_jsonb(versions) - 'load_id' DESC,
        versions.load_id DESC
    LIMIT 1
) AS counting
