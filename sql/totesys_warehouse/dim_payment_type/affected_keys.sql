-- grain: one kind of payment that was staged
-- sources: totesys_staging.payment_type
SELECT payment_type_id
FROM totesys_staging.payment_type
