-- grain: one payment type to be decided again
-- sources: totesys_staging.payment_type
SELECT payment_type_id
FROM totesys_staging.payment_type
