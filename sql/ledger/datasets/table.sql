-- grain: one dataset: one contract, its staging table and its objects
-- key: dataset
-- sources: none
-- write disposition: merge; the DDL step writes the facts of the deployed contracts, and keeps the entry of a removed
--   contract
-- access: owner
CREATE TABLE IF NOT EXISTS ledger.datasets (
    dataset text NOT NULL,
    pipeline text NOT NULL,
    staging_table text NOT NULL,
    description text NOT NULL,
    partition_column text,
    partition_unit text,
    is_optional boolean NOT NULL,
    is_active boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    expected_days integer,
    expected_at time,
    expected_timezone text,
    CONSTRAINT datasets_dataset_pk PRIMARY KEY (dataset),
    CONSTRAINT datasets_partition_unit_ck CHECK (partition_unit IN ('month', 'day')),
    CONSTRAINT datasets_partition_column_ck CHECK ((partition_unit IS NULL) = (partition_column IS NULL))
);

COMMENT ON TABLE ledger.datasets IS 'Datasets with the facts of their contracts, so that SQL can use these facts';
COMMENT ON COLUMN ledger.datasets.dataset IS 'Name of the dataset, as in ledger.loads';
COMMENT ON COLUMN ledger.datasets.pipeline IS
'Pipeline of the dataset: the staging table''s schema without _staging; its deployments have this tag';
COMMENT ON COLUMN ledger.datasets.staging_table IS 'Staging table, as schema.table';
COMMENT ON COLUMN ledger.datasets.description IS 'Meaning of one row of the staging table';
COMMENT ON COLUMN ledger.datasets.partition_column IS
'Date column of the staging table that holds the partition; null for a dataset without partitions';
COMMENT ON COLUMN ledger.datasets.partition_unit IS
'Period of one partition: month (2021-04) or day (2021-04-30); null for a dataset without partitions';
COMMENT ON COLUMN ledger.datasets.is_optional IS 'Whether the objects of the dataset or of a partition may be missing';
COMMENT ON COLUMN ledger.datasets.is_active IS 'Whether a contract of the deployed version declares the dataset';
COMMENT ON COLUMN ledger.datasets.expected_days IS
'Days from the last day of a partition to its deadline; null without a deadline. Without partitions, each day has one';
COMMENT ON COLUMN ledger.datasets.expected_at IS 'Time of the deadline in expected_timezone; null without a deadline';
COMMENT ON COLUMN ledger.datasets.expected_timezone IS 'Time zone of expected_at; null without a deadline';
COMMENT ON COLUMN ledger.datasets.changed_at IS 'When these facts last changed';
