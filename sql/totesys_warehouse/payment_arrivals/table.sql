-- grain: one version of a payment whose dimensions are there, staged or released by the quarantine
-- key: payment_id, last_updated
-- sources: totesys_staging.payment, totesys_warehouse.quarantine
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW totesys_warehouse.payment_arrivals AS
SELECT
    payment.payment_id,
    payment.created_at,
    payment.last_updated,
    payment.transaction_id,
    payment.counterparty_id,
    payment.payment_amount,
    payment.currency_id,
    payment.payment_type_id,
    payment.paid,
    payment.payment_date,
    NULL::timestamptz AS deleted_at,
    payment.load_id
FROM totesys_staging.payment
WHERE
    NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.quarantine
        WHERE
            quarantine.source_table = 'payment' AND payment.payment_id = quarantine.source_id
            AND payment.last_updated = quarantine.last_updated
    )
UNION ALL
SELECT
    source_row.payment_id,
    source_row.created_at,
    source_row.last_updated,
    source_row.transaction_id,
    source_row.counterparty_id,
    source_row.payment_amount,
    source_row.currency_id,
    source_row.payment_type_id,
    source_row.paid,
    source_row.payment_date,
    quarantine.deleted_at,
    source_row.load_id
FROM totesys_warehouse.quarantine
CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.payment, quarantine.source_row) AS source_row
WHERE quarantine.source_table = 'payment' AND NOT quarantine.is_waiting;
