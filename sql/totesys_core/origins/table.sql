-- grain: one row of the source that one load brought
-- key: source_table, source_id, last_updated, load_id
-- sources: none
-- write disposition: append
-- access: loader
CREATE TABLE IF NOT EXISTS totesys_core.origins (
    source_table text NOT NULL,
    source_id integer NOT NULL,
    last_updated timestamp(3) NOT NULL,
    load_id bigint NOT NULL,
    line_number bigint,
    CONSTRAINT origins_source_table_source_id_last_updated_load_id_pk
    PRIMARY KEY (source_table, source_id, last_updated, load_id)
);

COMMENT ON TABLE totesys_core.origins
IS 'Where each version of a source row was loaded from; staging tables hold only the rows of the latest run';
COMMENT ON COLUMN totesys_core.origins.source_table IS 'Table of the source';
COMMENT ON COLUMN totesys_core.origins.source_id IS 'Identifier of the row in the source';
COMMENT ON COLUMN totesys_core.origins.last_updated
IS 'When the source changed the row last, by the source''s clock';
COMMENT ON COLUMN totesys_core.origins.load_id IS 'Load that brought the version; see ledger.loads';
COMMENT ON COLUMN totesys_core.origins.line_number
IS 'Number of the row in the object of the load; null if the load is older than this column of the staging table';
