-- grain: one payment that is in the source, as it is now: the version that came last, whatever the
--   source's clock said, where it is not deleted
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
