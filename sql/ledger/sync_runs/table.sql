-- grain: one run of a pipeline that copies what changed in a database, from the draw of its number on
-- key: run_number; at most one run of a pipeline is not finished
-- sources: none
-- write disposition: append; a run goes from extracting over exported and converted to loaded, or ends as unchanged
--   (the snapshot held no change) or as superseded (it died before all of its tables were exported)
CREATE TABLE IF NOT EXISTS ledger.sync_runs (
    run_number bigint GENERATED ALWAYS AS IDENTITY,
    pipeline text NOT NULL,
    is_full boolean NOT NULL,
    status text NOT NULL,
    watermark jsonb NOT NULL,
    row_counts jsonb NOT NULL,
    flow_run_id uuid,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT sync_runs_run_number_pk PRIMARY KEY (run_number),
    CONSTRAINT sync_runs_status_ck CHECK (
        status IN ('extracting', 'exported', 'converted', 'loaded', 'unchanged', 'superseded')
    ),
    CONSTRAINT sync_runs_finished_at_ck CHECK (
        finished_at IS NULL OR status IN ('loaded', 'unchanged', 'superseded')
    ),
    CONSTRAINT sync_runs_row_counts_ck CHECK ((status = 'unchanged') = (row_counts = '{}'))
);

CREATE UNIQUE INDEX IF NOT EXISTS sync_runs_pipeline_uk ON ledger.sync_runs (pipeline) WHERE finished_at IS NULL;
CREATE INDEX IF NOT EXISTS sync_runs_pipeline_run_number_ix ON ledger.sync_runs (pipeline, run_number);

COMMENT ON COLUMN ledger.sync_runs.watermark IS
'Where the snapshot of the run stood: the next run takes what came after. That of a superseded run is never used.';
COMMENT ON COLUMN ledger.sync_runs.row_counts IS 'Rows by table, of the tables that changed.';
COMMENT ON COLUMN ledger.sync_runs.finished_at IS
'When all of it was done, its files moved; null for a run to be completed.';
