-- grain: one fact version that waits for its dimension rows, or that the last build released
-- key: source_table, source_id, last_updated
-- sources: none
-- write disposition: merge by (source_table); the search for deleted rows sets deleted_at
-- access: loader
-- not personal: source_table, missing
CREATE TABLE IF NOT EXISTS totesys_warehouse.quarantine (
    source_table text NOT NULL,
    source_id integer NOT NULL,
    last_updated timestamp(3) NOT NULL,
    missing text NOT NULL,
    is_waiting boolean NOT NULL,
    first_load_id bigint NOT NULL,
    load_id bigint NOT NULL,
    deleted_at timestamptz,
    source_row jsonb NOT NULL,
    CONSTRAINT quarantine_source_table_source_id_last_updated_pk PRIMARY KEY (source_table, source_id, last_updated)
);

COMMENT ON TABLE totesys_warehouse.quarantine
IS 'Fact versions that wait for a dimension row, and those that the last build released';
COMMENT ON COLUMN totesys_warehouse.quarantine.source_table IS 'Table of the source';
COMMENT ON COLUMN totesys_warehouse.quarantine.source_id IS 'Identifier of the row in the source';
COMMENT ON COLUMN totesys_warehouse.quarantine.last_updated
IS 'When the source changed the row last, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.quarantine.missing
IS 'Keys whose dimension rows are missing; empty for a released version';
COMMENT ON COLUMN totesys_warehouse.quarantine.is_waiting
IS 'Whether the version waits; false for a released version, which the next build removes';
COMMENT ON COLUMN totesys_warehouse.quarantine.first_load_id IS 'Load that brought the version first; see ledger.loads';
COMMENT ON COLUMN totesys_warehouse.quarantine.load_id IS 'Load that brought the version last; see ledger.loads';
COMMENT ON COLUMN totesys_warehouse.quarantine.deleted_at
IS 'When the version was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.quarantine.source_row IS 'Staged row';
