-- grain: one partition of one dataset whose pipeline's run came to its end
-- key: (dataset, partition)
-- sources: none
-- write disposition: merge; the loads that the tables were built from, and the SQL that built them, as of the last
--   such run
CREATE TABLE IF NOT EXISTS ledger.finished_partitions (
    dataset text NOT NULL,
    partition text NOT NULL,
    load_ids bigint[] NOT NULL,
    schemas text[] NOT NULL,
    sql_digest text NOT NULL,
    flow_run_id uuid,
    finished_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT finished_partitions_dataset_partition_pk PRIMARY KEY (dataset, partition)
);
