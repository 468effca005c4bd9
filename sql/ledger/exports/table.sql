-- grain: one object that was exported and verified
-- key: entry_id; the latest entry of (export_id, name) is what S3 holds
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
    CONSTRAINT exports_entry_id_pk PRIMARY KEY (entry_id)
);

CREATE INDEX IF NOT EXISTS exports_export_id_name_entry_id_ix ON ledger.exports (export_id, name, entry_id);
