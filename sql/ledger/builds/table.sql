-- grain: one partition of one built table; one entry, with an empty partition, for a table that is built as a whole
-- key: (table_name, partition)
-- sources: none
-- write disposition: merge; the fingerprint names the inputs that the rows were built from
CREATE TABLE IF NOT EXISTS ledger.builds (
    table_name text NOT NULL,
    partition text NOT NULL,
    fingerprint text NOT NULL,
    row_count bigint NOT NULL,
    flow_run_id uuid,
    built_at timestamptz NOT NULL DEFAULT now(),
    inputs jsonb,
    load_ids bigint[],
    snapshot_at timestamptz,
    CONSTRAINT builds_table_name_partition_pk PRIMARY KEY (table_name, partition)
);
CREATE INDEX IF NOT EXISTS builds_table_name_built_at_ix ON ledger.builds (table_name, built_at);

COMMENT ON TABLE ledger.builds IS 'Last build of each partition of each table';
COMMENT ON COLUMN ledger.builds.table_name IS 'Table, as schema.table';
COMMENT ON COLUMN ledger.builds.partition IS 'Partition that the build was for';
COMMENT ON COLUMN ledger.builds.fingerprint
IS 'Digest of all inputs that the rows were built from: SQL, parameters, loads and tables';
COMMENT ON COLUMN ledger.builds.row_count IS 'Rows that the build wrote';
COMMENT ON COLUMN ledger.builds.flow_run_id IS 'Flow run that built the table';
COMMENT ON COLUMN ledger.builds.built_at IS 'When the table was built';
COMMENT ON COLUMN ledger.builds.inputs
IS 'Digest of each input by name: SQL files, parameters, datasets and tables; null in entries of older versions';
COMMENT ON COLUMN ledger.builds.load_ids
IS 'Loads whose rows the build read, directly or through other tables; null in entries of older versions';
COMMENT ON COLUMN ledger.builds.snapshot_at
IS 'Time of the snapshot that the build of a history wrote; null for other tables and for a snapshot that is withdrawn';
