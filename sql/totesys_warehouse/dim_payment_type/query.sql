-- grain: one kind of payments
-- key: payment_type_id
-- parameters: none
-- sources: totesys_staging.payment_type
-- write disposition: merge by (payment_type_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    payment_type_id,
    payment_type_name
FROM totesys_staging.payment_type
