-- grain: one run of a pipeline that copies changed rows from a database
-- key: run_number; at most one run of a pipeline is unfinished
-- sources: none
-- write disposition: append; the status of a run goes from extracting to exported, converted and loaded, or ends as
--   unchanged (the source had no change) or superseded (the run died before it exported all tables)
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

COMMENT ON TABLE ledger.sync_runs IS 'Runs of pipelines that copy changed rows from a database';
COMMENT ON COLUMN ledger.sync_runs.run_number IS 'Number of the run, which the keys of its objects contain';
COMMENT ON COLUMN ledger.sync_runs.pipeline IS 'Name of the pipeline';
COMMENT ON COLUMN ledger.sync_runs.is_full IS 'Whether the run copied every row';
COMMENT ON COLUMN ledger.sync_runs.status
IS 'Step that the run has reached: extracting, exported, converted, loaded, unchanged or superseded';
COMMENT ON COLUMN ledger.sync_runs.watermark
IS 'Snapshot that the run read; the next run copies later changes. The snapshot of a superseded run is ignored';
COMMENT ON COLUMN ledger.sync_runs.row_counts IS 'Rows by table, for the tables that changed';
COMMENT ON COLUMN ledger.sync_runs.flow_run_id IS 'Flow run that started the run';
COMMENT ON COLUMN ledger.sync_runs.started_at IS 'When the run started';
COMMENT ON COLUMN ledger.sync_runs.finished_at
IS 'When the run ended and its files were moved; null while it is incomplete';
