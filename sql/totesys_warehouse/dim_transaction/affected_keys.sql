-- grain: one transaction that was staged
-- sources: totesys_staging.transaction
SELECT transaction_id
FROM totesys_staging.transaction
