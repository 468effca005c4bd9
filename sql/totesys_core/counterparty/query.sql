-- grain: one business partner
-- key: counterparty_id
-- parameters: none
-- sources: totesys_staging.counterparty
-- write disposition: merge by (counterparty_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    counterparty_id,
    counterparty_legal_name,
    legal_address_id
FROM totesys_staging.counterparty
