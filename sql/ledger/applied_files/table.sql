-- grain: one piece of applied DDL
-- key: path
-- sources: none
-- write disposition: merge; DDL with a recorded checksum is not applied again
-- access: owner
CREATE TABLE IF NOT EXISTS ledger.applied_files (
    path text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT applied_files_path_pk PRIMARY KEY (path)
);

COMMENT ON TABLE ledger.applied_files IS 'DDL that was applied';
COMMENT ON COLUMN ledger.applied_files.path IS
'Address of the DDL: schema.table, the path of a migration, or tasks/contracts for ledger.datasets';
COMMENT ON COLUMN ledger.applied_files.sha256
IS 'Checksum; DDL or contracts with the same checksum are not applied again';
COMMENT ON COLUMN ledger.applied_files.applied_at IS 'When the DDL was applied';
