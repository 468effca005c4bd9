-- from: totesys_core.origins
SELECT
    origins.tableoid,
    origins.ctid,
    origins AS source_row
FROM totesys_core.origins
WHERE
    origins.source_table = 'sales_order'
    AND origins.source_id = %(sales_order_id)s
    AND origins.last_updated = %(last_updated_date)s + %(last_updated_time)s
    AND origins.load_id = %(load_id)s;
