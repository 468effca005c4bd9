-- grain: one counterparty to be decided again
-- sources: totesys_core.counterparty
SELECT counterparty_id
FROM totesys_core.counterparty
