-- grain: one kind of payment
-- key: payment_type_id
-- parameters: none
-- sources: totesys_staging.payment_type
-- write disposition: merge by (payment_type_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    payment_type_id,
    payment_type_name
FROM totesys_staging.payment_type
