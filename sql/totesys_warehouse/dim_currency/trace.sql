-- from: totesys_core.origins
SELECT
    origins.tableoid,
    origins.ctid,
    origins AS source_row
FROM totesys_core.origins
WHERE origins.source_table = 'currency' AND origins.source_id = %(currency_id)s
ORDER BY origins.load_id DESC
LIMIT 1;
