-- grain: one version of one object that was loaded into one dataset's staging table, or one replay of rows of it that
--   were rejected
-- key: load_id; at most one loaded entry per (dataset, source_uri), and per dataset without partitions, besides replays
-- sources: none
-- write disposition: append; an entry turns from loaded to superseded once, or to lost, where its table was dropped
--   outside of Tally
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
    CONSTRAINT loads_load_id_pk PRIMARY KEY (load_id),
    CONSTRAINT loads_status_ck CHECK (status IN ('loaded', 'superseded', 'lost')),
    CONSTRAINT loads_superseded_by_ck CHECK ((status = 'superseded') = (superseded_by IS NOT NULL)),
    CONSTRAINT loads_rows_read_ck CHECK (rows_read = rows_loaded + rows_rejected),
    CONSTRAINT loads_replay_of_ck CHECK (replay_of IS NULL OR rows_rejected = 0),
    CONSTRAINT loads_replay_of_fk FOREIGN KEY (replay_of) REFERENCES ledger.loads (load_id),
    CONSTRAINT loads_superseded_by_fk FOREIGN KEY (superseded_by)
    REFERENCES ledger.loads (load_id) DEFERRABLE INITIALLY DEFERRED
);

CREATE UNIQUE INDEX IF NOT EXISTS loads_dataset_source_uri_uk
ON ledger.loads (dataset, source_uri) WHERE status = 'loaded' AND replay_of IS NULL;

CREATE INDEX IF NOT EXISTS loads_dataset_partition_ix ON ledger.loads (dataset, partition);

-- A table without partitions holds one object.
CREATE UNIQUE INDEX IF NOT EXISTS loads_dataset_uk
ON ledger.loads (dataset) WHERE status = 'loaded' AND partition = '' AND replay_of IS NULL;

COMMENT ON COLUMN ledger.loads.columns IS 'Names of the object''s columns, in its order; null where it has no rows.';
COMMENT ON COLUMN ledger.loads.replay_of IS
'The load whose rejected rows this one took; it is superseded together with that one.';
