-- from: totesys_core.origins
SELECT
    origins.tableoid,
    origins.ctid,
    origins AS source_row
FROM totesys_core.origins
WHERE
    origins.source_table = 'payment'
    AND origins.source_id = %(payment_id)s
    AND origins.last_updated = %(last_updated_date)s + %(last_updated_time)s
    AND origins.load_id = %(load_id)s;
