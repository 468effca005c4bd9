-- grain: one partition of one built table
-- key: (table_name, partition)
-- sources: none
-- write disposition: merge; the fingerprint names the query and the loads that the rows were built from
CREATE TABLE IF NOT EXISTS ledger.builds (
    table_name text NOT NULL,
    partition text NOT NULL,
    fingerprint text NOT NULL,
    row_count bigint NOT NULL,
    flow_run_id uuid,
    built_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT builds_table_name_partition_pk PRIMARY KEY (table_name, partition)
);
