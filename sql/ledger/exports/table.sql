-- grain: one exported and verified object
-- key: entry_id; the latest entry of (export_id, name) describes the object in S3
-- sources: none
-- write disposition: append
CREATE TABLE IF NOT EXISTS ledger.exports (
    entry_id bigint GENERATED ALWAYS AS IDENTITY,
    export_id text NOT NULL,
    name text NOT NULL,
    uri text NOT NULL,
    source_version text NOT NULL,
    row_count bigint NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    as_of date,
    fingerprint text NOT NULL,
    flow_run_id uuid,
    exported_at timestamptz NOT NULL DEFAULT now(),
    table_name text,
    load_ids bigint[],
    CONSTRAINT exports_entry_id_pk PRIMARY KEY (entry_id)
);

CREATE INDEX IF NOT EXISTS exports_export_id_name_entry_id_ix ON ledger.exports (export_id, name, entry_id);

COMMENT ON TABLE ledger.exports IS 'Objects that were exported and verified';
COMMENT ON COLUMN ledger.exports.entry_id IS 'Number of the entry';
COMMENT ON COLUMN ledger.exports.export_id IS 'Name of the export; see the setting EXPORT_ID';
COMMENT ON COLUMN ledger.exports.name IS 'File name in the export';
COMMENT ON COLUMN ledger.exports.uri IS 'Address of the object';
COMMENT ON COLUMN ledger.exports.source_version IS 'Version of the object in S3';
COMMENT ON COLUMN ledger.exports.row_count IS 'Rows in the object';
COMMENT ON COLUMN ledger.exports.size_bytes IS 'Size of the object in bytes';
COMMENT ON COLUMN ledger.exports.sha256 IS 'Checksum of the object''s content';
COMMENT ON COLUMN ledger.exports.as_of IS 'As-of date of the rows; null if they have none';
COMMENT ON COLUMN ledger.exports.fingerprint IS 'Digest of the query and the data that were exported';
COMMENT ON COLUMN ledger.exports.flow_run_id IS 'Flow run that exported the object';
COMMENT ON COLUMN ledger.exports.exported_at IS 'When the object was exported';
COMMENT ON COLUMN ledger.exports.table_name
IS 'Table or query that was exported, as schema.table; null for a page and in entries of older versions';
COMMENT ON COLUMN ledger.exports.load_ids
IS 'Loads whose rows the export holds, if it reads staging tables; null for a built table, whose builds name the loads';
