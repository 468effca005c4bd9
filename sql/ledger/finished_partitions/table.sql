-- grain: one partition of one dataset with a complete run of its pipeline
-- key: (dataset, partition)
-- sources: none
-- write disposition: merge; the loads and the SQL of the last complete run
CREATE TABLE IF NOT EXISTS ledger.finished_partitions (
    dataset text NOT NULL,
    partition text NOT NULL,
    load_ids bigint[] NOT NULL,
    schemas text[] NOT NULL,
    sql_digest text NOT NULL,
    flow_run_id uuid,
    finished_at timestamptz NOT NULL DEFAULT now(),
    builds jsonb,
    CONSTRAINT finished_partitions_dataset_partition_pk PRIMARY KEY (dataset, partition)
);

COMMENT ON TABLE ledger.finished_partitions IS 'Last complete run for each partition of a dataset';
COMMENT ON COLUMN ledger.finished_partitions.dataset IS 'Dataset of the partition';
COMMENT ON COLUMN ledger.finished_partitions.partition IS 'Partition that the run was for';
COMMENT ON COLUMN ledger.finished_partitions.load_ids IS 'Loads that the run built its tables from';
COMMENT ON COLUMN ledger.finished_partitions.schemas IS 'Schemas that the run built';
COMMENT ON COLUMN ledger.finished_partitions.sql_digest IS 'Digest of the SQL of these schemas';
COMMENT ON COLUMN ledger.finished_partitions.flow_run_id IS 'Flow run that finished';
COMMENT ON COLUMN ledger.finished_partitions.finished_at IS 'When the run finished';
COMMENT ON COLUMN ledger.finished_partitions.builds IS
'Fingerprint of each table that was built for the partition, by table; null in entries of older versions.';
