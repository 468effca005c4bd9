-- grain: one dataset, with or without a contract
-- key: dataset
-- sources: ledger.partition_status, ledger.load_history, ledger.datasets
-- write disposition: none; a view
-- rules: speeds are those of the last 100 successful attempts, because old attempts say little about the present
-- access: loader
CREATE OR REPLACE VIEW ledger.dataset_status AS
WITH partitions AS (
    SELECT
        dataset,
        min(partition) FILTER (WHERE object_count > 0) AS oldest_partition,
        max(partition) FILTER (WHERE object_count > 0) AS newest_partition,
        count(*) FILTER (WHERE object_count > 0) AS partitions_loaded,
        count(*) FILTER (WHERE state = 'missing' AND partition <> '') AS partitions_missing,
        count(*) FILTER (WHERE state = 'failed') AS partitions_failed,
        count(*) FILTER (WHERE state = 'lost') AS partitions_lost,
        count(*) FILTER (WHERE is_running) AS partitions_running,
        sum(restatement_count)::bigint AS restatement_count,
        sum(rows_loaded)::bigint AS row_count,
        sum(rows_rejected)::bigint AS rows_rejected,
        sum(rows_unresolved)::bigint AS rows_unresolved,
        sum(size_bytes)::bigint AS size_bytes
    FROM ledger.partition_status
    GROUP BY dataset
),

successes AS (
    SELECT
        dataset,
        max(ended_at) AS last_success_at
    FROM ledger.load_history
    WHERE status IN ('loaded', 'unchanged')
    GROUP BY dataset
),

failures AS (
    SELECT DISTINCT ON (dataset)
        dataset,
        partition,
        status,
        error_class,
        error_message,
        coalesce(ended_at, started_at) AS failed_at
    FROM ledger.load_history
    WHERE status IN ('failed', 'died')
    ORDER BY dataset ASC, started_at DESC, attempt_id DESC
),

speeds AS (
    SELECT
        dataset,
        sum(size_bytes) / nullif(sum(seconds), 0) AS bytes_per_second,
        sum(rows_read) / nullif(sum(seconds), 0) AS rows_per_second
    FROM (
        SELECT
            *,
            row_number() OVER (PARTITION BY dataset ORDER BY started_at DESC) AS place
        FROM ledger.load_history
        WHERE status = 'loaded' AND seconds IS NOT NULL
    ) AS attempts
    WHERE place <= 100
    GROUP BY dataset
),

names AS (
    SELECT dataset FROM ledger.datasets
    UNION
    SELECT dataset FROM partitions
)

SELECT
    k.dataset,
    d.pipeline,
    d.staging_table,
    d.partition_unit,
    p.oldest_partition,
    p.newest_partition,
    s.last_success_at,
    f.failed_at AS last_failure_at,
    f.partition AS last_failure_partition,
    f.status AS last_failure_status,
    f.error_class AS last_failure_class,
    f.error_message AS last_failure_message,
    v.bytes_per_second,
    v.rows_per_second,
    coalesce(d.is_active, FALSE) AS is_active,
    coalesce(p.partitions_loaded, 0) AS partitions_loaded,
    coalesce(p.partitions_missing, 0) AS partitions_missing,
    coalesce(p.partitions_failed, 0) AS partitions_failed,
    coalesce(p.partitions_lost, 0) AS partitions_lost,
    coalesce(p.partitions_running, 0) AS partitions_running,
    coalesce(p.restatement_count, 0) AS restatement_count,
    coalesce(p.row_count, 0) AS row_count,
    coalesce(p.rows_rejected, 0) AS rows_rejected,
    coalesce(p.rows_unresolved, 0) AS rows_unresolved,
    coalesce(p.size_bytes, 0) AS size_bytes
FROM names AS k
LEFT JOIN ledger.datasets AS d ON k.dataset = d.dataset
LEFT JOIN partitions AS p ON k.dataset = p.dataset
LEFT JOIN successes AS s ON k.dataset = s.dataset
LEFT JOIN failures AS f ON k.dataset = f.dataset
LEFT JOIN speeds AS v ON k.dataset = v.dataset;

COMMENT ON VIEW ledger.dataset_status IS
'State of each dataset. The message of the last failure may quote rows: treat it as personal data';
COMMENT ON COLUMN ledger.dataset_status.dataset IS 'Name of the dataset';
COMMENT ON COLUMN ledger.dataset_status.pipeline IS 'Pipeline of the dataset; null if the ledger has no contract of it';
COMMENT ON COLUMN ledger.dataset_status.staging_table
IS 'Staging table; null if the ledger has no contract of the dataset';
COMMENT ON COLUMN ledger.dataset_status.is_active IS 'Whether a contract of the deployed version declares the dataset';
COMMENT ON COLUMN ledger.dataset_status.partition_unit IS 'month, day, or null for a dataset without partitions';
COMMENT ON COLUMN ledger.dataset_status.oldest_partition IS 'First loaded partition';
COMMENT ON COLUMN ledger.dataset_status.newest_partition IS 'Last loaded partition';
COMMENT ON COLUMN ledger.dataset_status.partitions_loaded IS
'Loaded partitions; for a dataset without partitions, 1 if its object is loaded';
COMMENT ON COLUMN ledger.dataset_status.partitions_missing IS
'Partitions without a loaded object between the first and the last one; 0 for an optional dataset';
COMMENT ON COLUMN ledger.dataset_status.partitions_failed IS 'Partitions whose last attempt failed or died';
COMMENT ON COLUMN ledger.dataset_status.partitions_lost IS 'Partitions whose rows were lost with the table';
COMMENT ON COLUMN ledger.dataset_status.partitions_running IS 'Partitions that an attempt loads now';
COMMENT ON COLUMN ledger.dataset_status.restatement_count IS 'Loads that a later load replaced';
COMMENT ON COLUMN ledger.dataset_status.row_count IS 'Rows in the staging table, as the ledger counts them';
COMMENT ON COLUMN ledger.dataset_status.rows_rejected IS 'Rejected rows of the current loads, replayed rows included';
COMMENT ON COLUMN ledger.dataset_status.rows_unresolved
IS 'Rejected rows of the current loads that no replay has loaded';
COMMENT ON COLUMN ledger.dataset_status.size_bytes IS 'Size of the loaded objects in bytes';
COMMENT ON COLUMN ledger.dataset_status.last_success_at IS 'When the last successful load or replay ended';
COMMENT ON COLUMN ledger.dataset_status.last_failure_at IS
'When an attempt last failed or died; a later success does not clear it';
COMMENT ON COLUMN ledger.dataset_status.last_failure_partition IS 'Partition of the last failure';
COMMENT ON COLUMN ledger.dataset_status.last_failure_status IS 'failed or died';
COMMENT ON COLUMN ledger.dataset_status.last_failure_class IS 'Class of the last error; null if the process died';
COMMENT ON COLUMN ledger.dataset_status.last_failure_message IS 'Reason of the last failure, which may quote rows';
COMMENT ON COLUMN ledger.dataset_status.bytes_per_second IS 'Bytes of objects per second of the last 100 loads';
COMMENT ON COLUMN ledger.dataset_status.rows_per_second IS 'Rows read per second of the last 100 loads';
