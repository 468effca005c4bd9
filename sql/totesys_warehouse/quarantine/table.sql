-- grain: one version of a fact that waits for its dimensions, or was released by the last build
-- key: source_table, source_id, last_updated
-- sources: none
-- write disposition: merge by (source_table); deleted_at by the comparison of keys
-- access: loader
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

COMMENT ON COLUMN totesys_warehouse.quarantine.missing
IS 'Why it waits: the keys whose dimensions have not come; empty where it was released';
COMMENT ON COLUMN totesys_warehouse.quarantine.is_waiting
IS 'Whether it waits; one that does not stands in its fact, and leaves with the next build';
COMMENT ON COLUMN totesys_warehouse.quarantine.first_load_id IS 'The load that brought it first; see ledger.loads';
COMMENT ON COLUMN totesys_warehouse.quarantine.load_id IS 'The load that brought it last; see ledger.loads';
COMMENT ON COLUMN totesys_warehouse.quarantine.deleted_at IS 'When its row was found to be gone from the source';
COMMENT ON COLUMN totesys_warehouse.quarantine.source_row IS 'The staged row';
