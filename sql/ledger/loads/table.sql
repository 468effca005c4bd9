-- grain: one version of one object that was loaded into the staging table of one dataset, or one replay of its rejected
--   rows
-- key: load_id; apart from replays, at most one loaded entry per (dataset, source_uri), and at most one per dataset if
--   one object holds all its rows
-- sources: none
-- write disposition: append; the status of an entry changes once, from loaded to superseded, to removed if the supplier
--   removed its object from the partition, or to lost if its table was dropped outside Tally
CREATE TABLE IF NOT EXISTS ledger.loads (
    load_id bigint GENERATED ALWAYS AS IDENTITY,
    dataset text NOT NULL,
    partition text NOT NULL,
    source_uri text NOT NULL,
    source_version text NOT NULL,
    size_bytes bigint NOT NULL,
    status text NOT NULL DEFAULT 'loaded',
    rows_read bigint NOT NULL DEFAULT 0,
    rows_loaded bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0,
    columns text[],
    replay_of bigint,
    flow_run_id uuid,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    superseded_by bigint,
    contract_digest text,
    is_appended boolean NOT NULL DEFAULT FALSE,
    removed_at timestamptz,
    CONSTRAINT loads_load_id_pk PRIMARY KEY (load_id),
    CONSTRAINT loads_status_ck CHECK (status IN ('loaded', 'superseded', 'removed', 'lost')),
    CONSTRAINT loads_superseded_by_ck CHECK ((status = 'superseded') = (superseded_by IS NOT NULL)),
    CONSTRAINT loads_removed_at_ck CHECK ((status = 'removed') = (removed_at IS NOT NULL)),
    CONSTRAINT loads_rows_read_ck CHECK (rows_read = rows_loaded + rows_rejected),
    CONSTRAINT loads_replay_of_ck CHECK (replay_of IS NULL OR rows_rejected = 0),
    CONSTRAINT loads_replay_of_fk FOREIGN KEY (replay_of) REFERENCES ledger.loads (load_id),
    CONSTRAINT loads_superseded_by_fk FOREIGN KEY (superseded_by)
    REFERENCES ledger.loads (load_id) DEFERRABLE INITIALLY DEFERRED
);

CREATE UNIQUE INDEX IF NOT EXISTS loads_dataset_source_uri_uk
ON ledger.loads (dataset, source_uri) WHERE status = 'loaded' AND replay_of IS NULL;

CREATE INDEX IF NOT EXISTS loads_dataset_partition_ix ON ledger.loads (dataset, partition);

-- A table without partitions holds one object, unless its objects are appended.
CREATE UNIQUE INDEX IF NOT EXISTS loads_dataset_uk
ON ledger.loads (dataset) WHERE status = 'loaded' AND partition = '' AND replay_of IS NULL AND NOT is_appended;

COMMENT ON TABLE ledger.loads
IS 'Versions of objects that were loaded, with the number of rows read, loaded and rejected';
COMMENT ON COLUMN ledger.loads.load_id IS 'Number of the load';
COMMENT ON COLUMN ledger.loads.dataset IS 'Dataset, whose contract names the staging table';
COMMENT ON COLUMN ledger.loads.partition IS 'Partition that the rows belong to; empty for a dataset without partitions';
COMMENT ON COLUMN ledger.loads.source_uri IS 'Address of the object';
COMMENT ON COLUMN ledger.loads.source_version IS 'Version of the object in S3: its ETag';
COMMENT ON COLUMN ledger.loads.size_bytes IS 'Size of the object in bytes';
COMMENT ON COLUMN ledger.loads.status
IS 'loaded; superseded by a later load; removed with its object; or lost with its staging table';
COMMENT ON COLUMN ledger.loads.rows_read IS 'Rows in the object';
COMMENT ON COLUMN ledger.loads.rows_loaded IS 'Rows in the staging table';
COMMENT ON COLUMN ledger.loads.rows_rejected IS 'Rows in ledger.rejected_rows';
COMMENT ON COLUMN ledger.loads.columns
IS 'Names of the object''s columns in their order; null if the object has no rows';
COMMENT ON COLUMN ledger.loads.replay_of IS 'Load whose rejected rows this replay loaded; both are superseded together';
COMMENT ON COLUMN ledger.loads.flow_run_id IS 'Flow run that loaded the object';
COMMENT ON COLUMN ledger.loads.loaded_at IS 'When the object was loaded';
COMMENT ON COLUMN ledger.loads.superseded_by IS 'Load that replaced this one; null unless the status is superseded';
COMMENT ON COLUMN ledger.loads.contract_digest IS
'Digest of the contract of the load; a changed digest loads the object again; null in entries of older versions';
COMMENT ON COLUMN ledger.loads.is_appended
IS 'Whether the object belongs to a dataset without partitions that keeps all its objects';
COMMENT ON COLUMN ledger.loads.removed_at IS
'When the rows were deleted, because the supplier removed the object from its partition; null unless removed';
