-- grain: one business partner that was staged
-- sources: totesys_staging.counterparty
SELECT counterparty_id
FROM totesys_staging.counterparty
