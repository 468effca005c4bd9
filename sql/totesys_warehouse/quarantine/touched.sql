-- grain: one table of facts; the quarantine is small, all of it is decided again
-- sources: none
SELECT source_table
FROM (VALUES ('sales_order'), ('purchase_order'), ('payment')) AS facts (source_table)
