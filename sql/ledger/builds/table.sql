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
    CONSTRAINT builds_table_name_partition_pk PRIMARY KEY (table_name, partition)
);

COMMENT ON COLUMN ledger.builds.inputs IS
'A digest of each input by name: SQL files, parameters, datasets and tables; null in entries of older versions.';
