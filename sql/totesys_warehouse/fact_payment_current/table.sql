-- grain: one payment that is in the source: the version that was loaded last, whatever its last_updated, unless it is
--   deleted
-- key: payment_id
-- sources: totesys_warehouse.fact_payment
-- write disposition: none; a view
CREATE OR REPLACE VIEW totesys_warehouse.fact_payment_current AS
WITH latest AS (
    SELECT DISTINCT ON (payment_id) *
    FROM totesys_warehouse.fact_payment
    ORDER BY payment_id ASC, load_id DESC, last_updated_date DESC, last_updated_time DESC
)

SELECT
    payment_record_id,
    payment_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    transaction_id,
    counterparty_id,
    payment_amount,
    currency_id,
    payment_type_id,
    paid,
    payment_date
FROM latest
WHERE deleted_at IS NULL;

COMMENT ON VIEW totesys_warehouse.fact_payment_current IS 'The current version of each payment that is in the source';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.payment_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.payment_id IS 'Identifier of the payment in the source';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.created_date IS 'Date when the source created the row';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.created_time
IS 'Time when the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.last_updated_date
IS 'Date of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.last_updated_time
IS 'Time of the change that made this version, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.transaction_id IS 'Transaction that is paid';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.counterparty_id IS 'Business partner who pays or is paid';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.payment_amount IS 'Amount in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.currency_id IS 'Currency of the amount';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.payment_type_id IS 'Kind of payment';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.paid IS 'Whether the payment was made';
COMMENT ON COLUMN totesys_warehouse.fact_payment_current.payment_date
IS 'Date of the payment; null if there is none yet';
