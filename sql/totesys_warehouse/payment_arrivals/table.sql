-- grain: one version of a payment to load: staged and not waiting, or released by the quarantine
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

COMMENT ON VIEW totesys_warehouse.payment_arrivals
IS 'Versions of payments to load: staged versions that do not wait, and versions that the quarantine released';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.payment_id IS 'Identifier of the payment in the source';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.created_at
IS 'When the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.last_updated
IS 'When the source changed the row last, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.transaction_id IS 'Transaction that is paid';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.counterparty_id IS 'Business partner who pays or is paid';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.payment_amount IS 'Amount in the currency';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.currency_id IS 'Currency of the amount';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.payment_type_id IS 'Kind of payment';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.paid IS 'Whether the payment was made';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.payment_date IS 'Date of the payment; null if there is none yet';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.deleted_at
IS 'When a version that waited was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.payment_arrivals.load_id IS 'Load that brought the version; see ledger.loads';
