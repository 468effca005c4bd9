-- grain: one row of an object that one load rejected
-- key: rejected_row_id; (load_id, line_number) identifies a record, except in a JSON document, where one line may hold
--   several
-- sources: ledger.loads
-- write disposition: append; resolved_by is set once, by the load that loaded the row
CREATE TABLE IF NOT EXISTS ledger.rejected_rows (
    rejected_row_id bigint GENERATED ALWAYS AS IDENTITY,
    load_id bigint NOT NULL,
    line_number bigint NOT NULL,
    column_name text,
    reason text NOT NULL,
    raw bytea NOT NULL,
    resolved_by bigint,
    reason_code text,
    CONSTRAINT rejected_rows_rejected_row_id_pk PRIMARY KEY (rejected_row_id),
    CONSTRAINT rejected_rows_load_id_fk FOREIGN KEY (load_id) REFERENCES ledger.loads (load_id),
    CONSTRAINT rejected_rows_resolved_by_fk FOREIGN KEY (resolved_by) REFERENCES ledger.loads (load_id)
);

CREATE INDEX IF NOT EXISTS rejected_rows_load_id_line_number_ix ON ledger.rejected_rows (load_id, line_number);

COMMENT ON TABLE ledger.rejected_rows IS 'Rows that were rejected, with the reason and the original bytes';
COMMENT ON COLUMN ledger.rejected_rows.rejected_row_id IS 'Number of the rejected row';
COMMENT ON COLUMN ledger.rejected_rows.load_id IS 'Load that rejected the row; see ledger.loads';
COMMENT ON COLUMN ledger.rejected_rows.line_number
IS 'Line of the object where the record begins; in parquet, the number of the row';
COMMENT ON COLUMN ledger.rejected_rows.column_name IS 'Column with the invalid value; null if the record is malformed';
COMMENT ON COLUMN ledger.rejected_rows.reason IS 'Why the row was rejected, in words';
COMMENT ON COLUMN ledger.rejected_rows.reason_code IS
'Stable code of the reason, such as missing_value (docs/input.md); null in entries of older versions';
COMMENT ON COLUMN ledger.rejected_rows.raw IS 'Bytes of the record';
COMMENT ON COLUMN ledger.rejected_rows.resolved_by IS 'Load that loaded the row in a replay; null if none did';
