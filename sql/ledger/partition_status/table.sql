-- grain: one partition of a dataset: loaded, tried, or missing between the first and the last one; one row with an
--   empty partition for a dataset without partitions
-- key: (dataset, partition)
-- sources: ledger.load_history, ledger.loads, ledger.datasets, ledger.finished_partitions
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW ledger.partition_status AS
WITH loaded AS (
    SELECT
        dataset,
        partition,
        count(*) FILTER (WHERE status = 'loaded' AND replay_of IS NULL) AS object_count,
        count(*) FILTER (WHERE status = 'lost') AS lost_count,
        count(*) FILTER (WHERE status = 'superseded' AND replay_of IS NULL) AS restatement_count,
        coalesce(sum(rows_read) FILTER (WHERE status = 'loaded' AND replay_of IS NULL), 0)::bigint AS rows_read,
        coalesce(sum(rows_loaded) FILTER (WHERE status = 'loaded'), 0)::bigint AS rows_loaded,
        coalesce(sum(rows_rejected) FILTER (WHERE status = 'loaded'), 0)::bigint AS rows_rejected,
        -- A replay loads rows that its load rejected, each of them once.
        coalesce(sum(rows_loaded) FILTER (WHERE status = 'loaded' AND replay_of IS NOT NULL), 0)::bigint
            AS rows_replayed,
        coalesce(sum(size_bytes) FILTER (WHERE status = 'loaded'), 0)::bigint AS size_bytes,
        min(loaded_at) FILTER (WHERE replay_of IS NULL) AS first_loaded_at,
        max(loaded_at) FILTER (WHERE status = 'loaded') AS loaded_at
    FROM ledger.loads
    GROUP BY dataset, partition
),

growing AS (
    SELECT DISTINCT dataset
    FROM ledger.loads
    WHERE is_appended
),

-- A dataset without partitions holds one object, whatever its name, unless its objects are appended. So its last
-- attempt counts, for any object.
latest AS (
    SELECT DISTINCT ON (dataset, partition, object)
        *,
        coalesce(ended_at, started_at) AS happened_at
    FROM (SELECT
        *,
        CASE
            WHEN partition <> '' OR dataset IN (SELECT g.dataset FROM growing AS g) THEN source_uri
            ELSE ''
        END AS object
    FROM ledger.load_history) AS history
    WHERE kind = 'load'
    ORDER BY dataset ASC, partition ASC, object ASC, started_at DESC, attempt_id DESC NULLS LAST
),

-- A run that completes after a failure has skipped or loaded every object of the partition.
failed AS (
    SELECT DISTINCT ON (h.dataset, h.partition) h.*
    FROM latest AS h
    LEFT JOIN ledger.finished_partitions AS f ON h.dataset = f.dataset AND h.partition = f.partition
    WHERE h.status IN ('failed', 'died') AND (f.finished_at IS NULL OR f.finished_at < h.happened_at)
    ORDER BY h.dataset ASC, h.partition ASC, h.started_at DESC
),

tried AS (
    SELECT
        dataset,
        partition,
        bool_or(status = 'running') AS is_running
    FROM latest
    GROUP BY dataset, partition
),

known AS (
    SELECT
        dataset,
        partition
    FROM loaded
    UNION
    SELECT
        dataset,
        partition
    FROM tried
),

days AS (
    SELECT
        k.dataset,
        d.partition_unit,
        to_date(k.partition, 'YYYY-MM-DD') AS day
    FROM known AS k
    INNER JOIN ledger.datasets AS d ON k.dataset = d.dataset
    WHERE
        NOT d.is_optional
        AND k.partition ~ CASE d.partition_unit WHEN 'month' THEN '^\d{4}-\d{2}$' ELSE '^\d{4}-\d{2}-\d{2}$' END
),

calendar AS (
    SELECT
        r.dataset,
        to_char(s.day, CASE r.partition_unit WHEN 'month' THEN 'YYYY-MM' ELSE 'YYYY-MM-DD' END) AS partition
    FROM (
        SELECT
            dataset,
            partition_unit,
            min(day) AS first_day,
            max(day) AS last_day
        FROM days
        GROUP BY dataset, partition_unit
    ) AS r
    CROSS JOIN LATERAL generate_series(
        r.first_day::timestamp, r.last_day::timestamp, ('1 ' || r.partition_unit)::interval
    ) AS s (day)
),

partitions AS (
    SELECT
        dataset,
        partition
    FROM known
    UNION
    SELECT
        dataset,
        partition
    FROM calendar
)

SELECT
    p.dataset,
    p.partition,
    l.first_loaded_at,
    l.loaded_at,
    f.happened_at AS failed_at,
    f.attempt_id AS failed_attempt_id,
    f.source_uri AS failed_uri,
    f.error_class,
    f.error_message,
    CASE
        WHEN f.dataset IS NOT NULL THEN 'failed'
        WHEN coalesce(l.object_count, 0) = 0 AND t.is_running THEN 'running'
        WHEN coalesce(l.object_count, 0) = 0 AND l.lost_count > 0 THEN 'lost'
        WHEN coalesce(l.object_count, 0) = 0 THEN 'missing'
        WHEN l.rows_rejected > l.rows_replayed THEN 'rejected'
        ELSE 'loaded'
    END AS state,
    coalesce(l.object_count, 0) AS object_count,
    coalesce(l.rows_read, 0) AS rows_read,
    coalesce(l.rows_loaded, 0) AS rows_loaded,
    coalesce(l.rows_rejected, 0) AS rows_rejected,
    coalesce(l.rows_rejected - l.rows_replayed, 0) AS rows_unresolved,
    coalesce(l.size_bytes, 0) AS size_bytes,
    coalesce(l.restatement_count, 0) AS restatement_count,
    coalesce(t.is_running, FALSE) AS is_running
FROM partitions AS p
LEFT JOIN loaded AS l ON p.dataset = l.dataset AND p.partition = l.partition
LEFT JOIN tried AS t ON p.dataset = t.dataset AND p.partition = t.partition
LEFT JOIN failed AS f ON p.dataset = f.dataset AND p.partition = f.partition;

COMMENT ON VIEW ledger.partition_status IS
'State of each partition of each dataset. The error messages may quote rows: treat them as personal data';
COMMENT ON COLUMN ledger.partition_status.dataset IS 'Dataset of the partition';
COMMENT ON COLUMN ledger.partition_status.partition IS 'Name of the partition; empty for a dataset without partitions';
COMMENT ON COLUMN ledger.partition_status.state IS
'failed (the last attempt for an object failed or died; earlier rows remain); running (the first attempt runs); lost
(the table was dropped); missing (no object is loaded); rejected (loaded, and rejected rows are open); loaded';
COMMENT ON COLUMN ledger.partition_status.object_count IS 'Loaded objects';
COMMENT ON COLUMN ledger.partition_status.rows_read IS 'Rows of the loaded objects';
COMMENT ON COLUMN ledger.partition_status.rows_loaded IS 'Rows in the staging table, replayed rows included';
COMMENT ON COLUMN ledger.partition_status.rows_rejected IS 'Rows that the loads rejected, replayed rows included';
COMMENT ON COLUMN ledger.partition_status.rows_unresolved IS 'Rejected rows that no replay has loaded';
COMMENT ON COLUMN ledger.partition_status.size_bytes IS 'Size of the loaded objects in bytes';
COMMENT ON COLUMN ledger.partition_status.restatement_count IS 'Loads that a later load replaced';
COMMENT ON COLUMN ledger.partition_status.is_running IS 'Whether an attempt to load an object runs now';
COMMENT ON COLUMN ledger.partition_status.first_loaded_at IS 'When the first object of the partition was loaded';
COMMENT ON COLUMN ledger.partition_status.loaded_at IS 'When the newest of the current loads was made';
COMMENT ON COLUMN ledger.partition_status.failed_at IS 'When the failed attempt ended; null unless the state is failed';
COMMENT ON COLUMN ledger.partition_status.failed_attempt_id IS
'Failed attempt in ledger.load_attempts; null unless the state is failed';
COMMENT ON COLUMN ledger.partition_status.failed_uri IS 'Object of the failed attempt; null unless the state is failed';
COMMENT ON COLUMN ledger.partition_status.error_class IS
'Class of the error; null unless the state is failed, and if the process died';
COMMENT ON COLUMN ledger.partition_status.error_message IS
'Message of the error, which may quote rows; null unless the state is failed';
