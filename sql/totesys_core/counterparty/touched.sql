-- grain: one counterparty to be decided again
-- sources: totesys_staging.counterparty
SELECT counterparty_id
FROM totesys_staging.counterparty
