-- grain: one row of an object that was rejected by one load
-- key: rejected_row_id; (load_id, line_number) names a record, in parquet a row, but in a JSON document a line may hold
--   many
-- sources: ledger.loads
-- write disposition: append; resolved_by is set once, by the load that took the row
CREATE TABLE IF NOT EXISTS ledger.rejected_rows (
    rejected_row_id bigint GENERATED ALWAYS AS IDENTITY,
    load_id bigint NOT NULL,
    line_number bigint NOT NULL,
    column_name text,
    reason text NOT NULL,
    raw bytea NOT NULL,
    resolved_by bigint,
    CONSTRAINT rejected_rows_rejected_row_id_pk PRIMARY KEY (rejected_row_id),
    CONSTRAINT rejected_rows_load_id_fk FOREIGN KEY (load_id) REFERENCES ledger.loads (load_id),
    CONSTRAINT rejected_rows_resolved_by_fk FOREIGN KEY (resolved_by) REFERENCES ledger.loads (load_id)
);

CREATE INDEX IF NOT EXISTS rejected_rows_load_id_line_number_ix ON ledger.rejected_rows (load_id, line_number);
