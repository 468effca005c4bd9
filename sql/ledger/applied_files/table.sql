-- grain: one piece of DDL that was applied
-- key: path
-- sources: none
-- write disposition: merge; DDL whose checksum stands here is not applied again
-- access: owner
CREATE TABLE IF NOT EXISTS ledger.applied_files (
    path text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT applied_files_path_pk PRIMARY KEY (path)
);
