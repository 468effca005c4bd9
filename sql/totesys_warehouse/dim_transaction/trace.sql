-- from: totesys_core.origins
SELECT
    origins.tableoid,
    origins.ctid,
    origins AS source_row
FROM totesys_core.origins
WHERE origins.source_table = 'transaction' AND origins.source_id = %(transaction_id)s
ORDER BY origins.load_id DESC
LIMIT 1;
