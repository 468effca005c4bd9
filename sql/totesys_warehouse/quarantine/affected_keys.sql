-- grain: one fact table; each build recomputes the whole quarantine, which is small
-- sources: none
SELECT source_table
FROM (VALUES ('sales_order'), ('purchase_order'), ('payment')) AS facts (source_table)
