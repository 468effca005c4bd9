-- grain: one attempt to load one version of one object
-- key: attempt_id
-- sources: none
-- write disposition: append; an attempt starts in a transaction of its own and ends once. A load that succeeds ends its
--   attempt in its own transaction. A load that fails ends its attempt after the rollback. If the process of an attempt
--   died, the next attempt for the same object ends it
CREATE TABLE IF NOT EXISTS ledger.load_attempts (
    attempt_id bigint GENERATED ALWAYS AS IDENTITY,
    dataset text NOT NULL,
    partition text NOT NULL,
    source_uri text NOT NULL,
    source_version text NOT NULL,
    size_bytes bigint NOT NULL,
    status text NOT NULL DEFAULT 'started',
    load_id bigint,
    rows_read bigint NOT NULL DEFAULT 0,
    rows_loaded bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0,
    reasons jsonb NOT NULL DEFAULT '{}',
    examples jsonb NOT NULL DEFAULT '[]',
    error_class text,
    error_message text,
    backend_pid integer NOT NULL DEFAULT pg_backend_pid(),
    flow_run_id uuid,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    warnings text[] NOT NULL DEFAULT '{}',
    CONSTRAINT load_attempts_attempt_id_pk PRIMARY KEY (attempt_id),
    CONSTRAINT load_attempts_status_ck CHECK (status IN ('started', 'loaded', 'unchanged', 'failed', 'died')),
    CONSTRAINT load_attempts_ended_at_ck CHECK ((status = 'started') = (ended_at IS NULL)),
    CONSTRAINT load_attempts_error_class_ck CHECK ((status = 'failed') = (error_class IS NOT NULL))
);

CREATE INDEX IF NOT EXISTS load_attempts_dataset_partition_ix ON ledger.load_attempts (dataset, partition);
CREATE INDEX IF NOT EXISTS load_attempts_source_uri_ix ON ledger.load_attempts (source_uri) WHERE status = 'started';

COMMENT ON TABLE ledger.load_attempts IS
'Every attempt to load an object, failed attempts included. The examples hold raw rows: treat them as personal data.';
COMMENT ON COLUMN ledger.load_attempts.attempt_id IS 'Number of the attempt.';
COMMENT ON COLUMN ledger.load_attempts.dataset IS 'Dataset of the contract.';
COMMENT ON COLUMN ledger.load_attempts.partition IS
'Partition of the object; empty for a dataset without partitions.';
COMMENT ON COLUMN ledger.load_attempts.source_uri IS 'The object, s3://bucket/key.';
COMMENT ON COLUMN ledger.load_attempts.source_version IS 'ETag of the version that was read.';
COMMENT ON COLUMN ledger.load_attempts.size_bytes IS 'Size of the object as stored.';
COMMENT ON COLUMN ledger.load_attempts.status IS
'started; loaded; unchanged (another run had loaded this version meanwhile); failed; died (the process ended without
recording how).';
COMMENT ON COLUMN ledger.load_attempts.load_id IS 'The entry of ledger.loads that a successful attempt made.';
COMMENT ON COLUMN ledger.load_attempts.rows_read IS 'Rows that were read; of a failed attempt, up to the failure.';
COMMENT ON COLUMN ledger.load_attempts.rows_loaded IS 'Rows that the attempt loaded; 0 for a failed attempt.';
COMMENT ON COLUMN ledger.load_attempts.rows_rejected IS
'Rows that were rejected; of a failed attempt, up to the failure.';
COMMENT ON COLUMN ledger.load_attempts.reasons IS 'Rejected rows by reason: the most frequent reasons, with counts.';
COMMENT ON COLUMN ledger.load_attempts.examples IS
'Some rejected rows: line_number, column_name, reason_code, reason, text (printable), raw (the first bytes, in hex).';
COMMENT ON COLUMN ledger.load_attempts.error_class IS 'Name of the error class of a failed attempt.';
COMMENT ON COLUMN ledger.load_attempts.error_message IS 'Message of the error, printable and bounded.';
COMMENT ON COLUMN ledger.load_attempts.backend_pid IS
'Postgres process of the attempt, to tell whether it still runs.';
COMMENT ON COLUMN ledger.load_attempts.flow_run_id IS 'Flow run; null outside of a flow run.';
COMMENT ON COLUMN ledger.load_attempts.started_at IS 'When the attempt began.';
COMMENT ON COLUMN ledger.load_attempts.ended_at IS 'When the attempt ended; null while it runs.';
COMMENT ON COLUMN ledger.load_attempts.warnings IS
'Warnings about a loaded object, such as far fewer rows than the last objects of the dataset.';
