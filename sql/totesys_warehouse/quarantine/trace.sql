-- from: totesys_core.origins
SELECT
    origins.tableoid,
    origins.ctid,
    origins AS source_row
FROM totesys_core.origins
WHERE
    origins.source_table = %(source_table)s
    AND origins.source_id = %(source_id)s
    AND origins.last_updated = %(last_updated)s
    AND origins.load_id = %(load_id)s;
