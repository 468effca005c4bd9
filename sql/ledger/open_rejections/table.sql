-- grain: the open rejected rows of one partition with one column and one reason; a row is open until a replay loads it
-- key: (dataset, partition, column_name, reason_code, reason)
-- sources: ledger.rejected_rows, ledger.loads
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW ledger.open_rejections AS
WITH ranked AS (
    SELECT
        l.dataset,
        l.partition,
        r.column_name,
        r.reason,
        l.source_uri,
        r.line_number,
        l.loaded_at,
        coalesce(r.reason_code, 'unknown') AS reason_code,
        encode(substring(r.raw FROM 1 FOR 80), 'escape') AS beginning,
        row_number() OVER (
            PARTITION BY l.dataset, l.partition, r.column_name, r.reason_code, r.reason ORDER BY r.rejected_row_id
        ) AS place,
        first_value(l.source_uri) OVER (
            PARTITION BY l.dataset, l.partition, r.column_name, r.reason_code, r.reason ORDER BY r.rejected_row_id
        ) AS first_uri
    FROM ledger.rejected_rows AS r
    INNER JOIN ledger.loads AS l ON r.load_id = l.load_id
    WHERE l.status = 'loaded' AND r.resolved_by IS NULL
)

SELECT
    dataset,
    partition,
    column_name,
    reason_code,
    reason,
    count(*) AS row_count,
    min(loaded_at) AS since,
    min(first_uri) AS example_uri,
    array_agg(line_number ORDER BY place) FILTER (WHERE place <= 3 AND source_uri = first_uri) AS example_lines,
    array_agg(beginning ORDER BY place) FILTER (WHERE place <= 3 AND source_uri = first_uri) AS examples
FROM ranked
GROUP BY dataset, partition, column_name, reason_code, reason;

COMMENT ON VIEW ledger.open_rejections IS
'Rejected rows that no replay has loaded, by reason. The examples hold raw rows: treat them as personal data';
COMMENT ON COLUMN ledger.open_rejections.dataset IS 'Dataset of the rows';
COMMENT ON COLUMN ledger.open_rejections.partition IS 'Partition of the rows; empty for a dataset without partitions';
COMMENT ON COLUMN ledger.open_rejections.column_name IS
'Column of the object with the invalid value; null if the record is malformed';
COMMENT ON COLUMN ledger.open_rejections.reason_code IS
'Stable code of the reason (docs/input.md); unknown for rows that an older version of Tally rejected';
COMMENT ON COLUMN ledger.open_rejections.reason IS 'Reason in words';
COMMENT ON COLUMN ledger.open_rejections.row_count IS 'Number of rows';
COMMENT ON COLUMN ledger.open_rejections.since IS 'When the first of these rows was rejected';
COMMENT ON COLUMN ledger.open_rejections.example_uri IS 'Object of the examples: the object of the first of these rows';
COMMENT ON COLUMN ledger.open_rejections.example_lines IS 'Line numbers of up to three rows of this object';
COMMENT ON COLUMN ledger.open_rejections.examples IS
'First 80 bytes of the rows at example_lines; zero bytes and bytes above 127 are octal escapes, a backslash is doubled';
