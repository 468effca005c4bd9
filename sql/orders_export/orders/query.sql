-- grain: one order in the file of one day, as delivered
-- key: file_date, id
-- parameters: first_day (date of the first file), last_day (date of the last file)
-- sources: orders_staging.orders_raw
-- write disposition: none; read by the export
-- rules: every version of an order is exported, including test orders, as the files hold them (rejected: only the
--   current version);
--   rows are ordered by their content, so that the same files give the same bytes (rejected: the order of the loads)
SELECT
    orders.file_date,
    orders.id,
    orders.email,
    orders.closed_at,
    orders.created_at,
    orders.order_date,
    orders.utc_offset,
    orders.updated_at,
    orders.number,
    orders.note,
    orders.token,
    orders.gateway,
    orders.test,
    orders.total_price,
    orders.subtotal_price,
    orders.total_weight,
    orders.total_tax,
    orders.taxes_included,
    orders.currency,
    orders.financial_status,
    orders.confirmed,
    orders.total_discounts,
    orders.total_line_items_price,
    orders.cart_token,
    orders.buyer_accepts_marketing,
    orders.name,
    orders.referring_site,
    orders.landing_site,
    orders.cancelled_at,
    orders.cancel_reason,
    orders.total_price_usd,
    orders.checkout_token,
    orders.reference,
    orders.user_id,
    orders.location_id,
    orders.source_identifier,
    orders.source_url,
    orders.processed_at,
    orders.device_id,
    orders.phone,
    orders.customer_locale,
    orders.app_id,
    orders.browser_ip,
    orders.landing_site_ref,
    orders.order_number,
    orders.processing_method,
    orders.checkout_id,
    orders.source_name,
    orders.fulfillment_status,
    orders.tags,
    orders.contact_email,
    orders.order_status_url,
    orders.line_items,
    orders.total_discount,
    orders.unknown_keys
FROM orders_staging.orders_raw AS orders
WHERE orders.file_date BETWEEN %(first_day)s AND %(last_day)s
ORDER BY
    orders.file_date ASC,
    orders.id ASC,
    orders.updated_at ASC,
    to_jsonb(orders) - '{load_id,line_number}'::text[] ASC
