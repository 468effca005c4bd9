-- from: orders_staging.orders_raw
SELECT
    versions.tableoid,
    versions.ctid,
    versions AS source_row
FROM orders_staging.orders_raw AS versions
WHERE
    versions.file_date = %(file_date)s
    AND versions.id = %(order_id)s
    AND versions.load_id = %(load_id)s
    AND versions.updated_at = %(updated_at)s
ORDER BY to_jsonb(versions) - '{load_id,line_number}'::text[] DESC
LIMIT 1;
