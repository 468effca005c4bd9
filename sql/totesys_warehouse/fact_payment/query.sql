-- grain: one version of a payment
-- key: payment_id, last_updated_date, last_updated_time
-- parameters: none
-- sources: totesys_warehouse.payment_arrivals
-- write disposition: append, change all but (deleted_at)
-- rules: one row per version of a source row; the same version arriving twice is one row (rejected: truncate and
--   append);
--   it says what the source said last, which may change a row without another last_updated; the lake keeps what it said
--   before (rejected: what it said first, which the source denies);
--   a version whose dimension has not come waits in the quarantine (rejected: dropping it; loading it without its key);
--   a version that was gone from the source before it could stand comes closed (rejected: ignoring the deletion)
SELECT
    payment_id,
    created_at::date AS created_date,
    created_at::time(3) AS created_time,
    last_updated::date AS last_updated_date,
    last_updated::time(3) AS last_updated_time,
    transaction_id,
    counterparty_id,
    payment_amount,
    currency_id,
    payment_type_id,
    paid,
    payment_date,
    deleted_at,
    load_id
FROM totesys_warehouse.payment_arrivals
