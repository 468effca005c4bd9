-- grain: one transaction to be decided again
-- sources: totesys_staging.transaction
SELECT transaction_id
FROM totesys_staging.transaction
