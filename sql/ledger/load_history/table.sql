-- grain: one attempt to load an object, or one load without an attempt: a replay, or a load of an older version of
--   Tally
-- key: attempt_id, or load_id where attempt_id is null
-- sources: ledger.load_attempts, ledger.loads
-- write disposition: none; a view
-- access: loader
CREATE OR REPLACE VIEW ledger.load_history AS
WITH attempts AS (
    SELECT
        a.*,
        -- Postgres lists the processes of all sessions. An attempt whose session is gone did not record its end.
        CASE
            WHEN a.status <> 'started' THEN a.status
            WHEN a.backend_pid IN (SELECT s.pid FROM pg_stat_activity AS s) THEN 'running'
            ELSE 'died'
        END AS outcome
    FROM ledger.load_attempts AS a
)

SELECT
    a.attempt_id,
    a.load_id,
    a.dataset,
    a.partition,
    'load' AS kind,
    a.outcome AS status,
    CASE WHEN a.status = 'loaded' THEN l.status END AS load_status,
    a.source_uri,
    a.source_version,
    a.size_bytes,
    a.rows_read,
    a.rows_loaded,
    a.rows_rejected,
    a.error_class,
    CASE
        WHEN a.status = 'started' AND a.outcome = 'died' THEN 'The process ended before it could record how.'
        ELSE a.error_message
    END AS error_message,
    a.flow_run_id,
    a.started_at,
    a.ended_at,
    date_part('epoch', a.ended_at - a.started_at) AS seconds,
    a.rows_read / nullif(date_part('epoch', a.ended_at - a.started_at), 0) AS rows_per_second,
    a.size_bytes / nullif(date_part('epoch', a.ended_at - a.started_at), 0) AS bytes_per_second
FROM attempts AS a
LEFT JOIN ledger.loads AS l ON a.load_id = l.load_id
UNION ALL
SELECT
    NULL AS attempt_id,
    l.load_id,
    l.dataset,
    l.partition,
    CASE WHEN l.replay_of IS NULL THEN 'load' ELSE 'replay' END AS kind,
    'loaded' AS status,
    l.status AS load_status,
    l.source_uri,
    l.source_version,
    l.size_bytes,
    l.rows_read,
    l.rows_loaded,
    l.rows_rejected,
    NULL AS error_class,
    NULL AS error_message,
    l.flow_run_id,
    l.loaded_at AS started_at,
    l.loaded_at AS ended_at,
    NULL AS seconds,
    NULL AS rows_per_second,
    NULL AS bytes_per_second
FROM ledger.loads AS l
WHERE NOT EXISTS (
    SELECT FROM ledger.load_attempts AS a
    WHERE a.load_id = l.load_id AND a.status = 'loaded'
);

COMMENT ON VIEW ledger.load_history IS
'Every attempt to load an object and every replay. The error messages may quote rows: treat them as personal data';
COMMENT ON COLUMN ledger.load_history.attempt_id IS
'Number of the attempt; null for a replay and for a load of an older version of Tally';
COMMENT ON COLUMN ledger.load_history.load_id IS 'Load in ledger.loads; null for an attempt that did not succeed';
COMMENT ON COLUMN ledger.load_history.dataset IS 'Dataset of the object';
COMMENT ON COLUMN ledger.load_history.partition IS 'Partition of the object; empty for a dataset without partitions';
COMMENT ON COLUMN ledger.load_history.kind IS 'load, or replay of rejected rows';
COMMENT ON COLUMN ledger.load_history.status IS
'running; loaded; unchanged (another run had loaded this version); failed; died (the process ended without a record)';
COMMENT ON COLUMN ledger.load_history.load_status IS
'Current status of a successful load: loaded, superseded by a later load, removed with its object, or lost';
COMMENT ON COLUMN ledger.load_history.source_uri IS 'Address of the object';
COMMENT ON COLUMN ledger.load_history.source_version IS 'Version of the object in S3';
COMMENT ON COLUMN ledger.load_history.size_bytes IS 'Size of the object in bytes; 0 for a replay';
COMMENT ON COLUMN ledger.load_history.rows_read IS 'Rows that were read; of a failed attempt, up to the failure';
COMMENT ON COLUMN ledger.load_history.rows_loaded IS 'Rows that were loaded; 0 for a failed attempt';
COMMENT ON COLUMN ledger.load_history.rows_rejected
IS 'Rows that were rejected; of a failed attempt, up to the failure';
COMMENT ON COLUMN ledger.load_history.error_class IS 'Class of the error of a failed attempt';
COMMENT ON COLUMN ledger.load_history.error_message IS 'Message of the error, which may quote rows';
COMMENT ON COLUMN ledger.load_history.flow_run_id IS 'Flow run; null outside of a flow run';
COMMENT ON COLUMN ledger.load_history.started_at IS 'When the attempt started';
COMMENT ON COLUMN ledger.load_history.ended_at IS 'When the attempt ended; null while it runs, and if its process died';
COMMENT ON COLUMN ledger.load_history.seconds IS 'Duration of the attempt; null without an attempt';
COMMENT ON COLUMN ledger.load_history.rows_per_second IS 'Rows read per second';
COMMENT ON COLUMN ledger.load_history.bytes_per_second IS 'Bytes of the object per second';
