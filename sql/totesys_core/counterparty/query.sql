-- grain: one business partner, as it is now
-- key: counterparty_id
-- parameters: none
-- sources: totesys_staging.counterparty
-- write disposition: merge by (counterparty_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    counterparty_id,
    counterparty_legal_name,
    legal_address_id
FROM totesys_staging.counterparty
