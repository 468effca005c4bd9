-- grain: one business partner
-- sources: totesys_core.counterparty
SELECT counterparty_id
FROM totesys_core.counterparty
