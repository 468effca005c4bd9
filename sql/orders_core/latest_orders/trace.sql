-- from: orders_staging.orders_raw
WITH chosen AS (
    SELECT ctid AS place
    FROM orders_staging.orders_raw
    WHERE
        file_date = %(file_date)s
        AND id = %(order_id)s
        AND load_id = %(load_id)s
        AND updated_at = %(updated_at)s
    ORDER BY
        name COLLATE "C" DESC NULLS LAST,
        note COLLATE "C" DESC NULLS LAST,
        tags COLLATE "C" DESC NULLS LAST,
        test DESC NULLS LAST,
        email COLLATE "C" DESC NULLS LAST,
        phone COLLATE "C" DESC NULLS LAST,
        token COLLATE "C" DESC NULLS LAST,
        app_id DESC NULLS LAST,
        number DESC NULLS LAST,
        gateway COLLATE "C" DESC NULLS LAST,
        user_id DESC NULLS LAST,
        currency COLLATE "C" DESC NULLS LAST,
        closed_at DESC NULLS LAST,
        confirmed DESC NULLS LAST,
        device_id DESC NULLS LAST,
        reference COLLATE "C" DESC NULLS LAST,
        total_tax DESC NULLS LAST,
        browser_ip COLLATE "C" DESC NULLS LAST,
        cart_token COLLATE "C" DESC NULLS LAST,
        created_at DESC NULLS LAST,
        line_items DESC NULLS LAST,
        order_date DESC NULLS LAST,
        source_url COLLATE "C" DESC NULLS LAST,
        utc_offset COLLATE "C" DESC NULLS LAST,
        checkout_id DESC NULLS LAST,
        location_id DESC NULLS LAST,
        source_name COLLATE "C" DESC NULLS LAST,
        total_price DESC NULLS LAST,
        cancelled_at DESC NULLS LAST,
        landing_site COLLATE "C" DESC NULLS LAST,
        order_number DESC NULLS LAST,
        processed_at DESC NULLS LAST,
        total_weight DESC NULLS LAST,
        unknown_keys DESC NULLS LAST,
        cancel_reason COLLATE "C" DESC NULLS LAST,
        contact_email COLLATE "C" DESC NULLS LAST,
        checkout_token COLLATE "C" DESC NULLS LAST,
        referring_site COLLATE "C" DESC NULLS LAST,
        subtotal_price DESC NULLS LAST,
        taxes_included DESC NULLS LAST,
        total_discount DESC NULLS LAST,
        customer_locale COLLATE "C" DESC NULLS LAST,
        total_discounts DESC NULLS LAST,
        total_price_usd DESC NULLS LAST,
        financial_status COLLATE "C" DESC NULLS LAST,
        landing_site_ref COLLATE "C" DESC NULLS LAST,
        order_status_url COLLATE "C" DESC NULLS LAST,
        processing_method COLLATE "C" DESC NULLS LAST,
        source_identifier COLLATE "C" DESC NULLS LAST,
        fulfillment_status COLLATE "C" DESC NULLS LAST,
        total_line_items_price DESC NULLS LAST,
        buyer_accepts_marketing DESC NULLS LAST
    LIMIT 1
)

SELECT
    versions.tableoid,
    versions.ctid,
    versions AS source_row
FROM chosen
INNER JOIN orders_staging.orders_raw AS versions ON chosen.place = versions.ctid
WHERE versions.file_date = %(file_date)s;
