"""The second half of a Totesys sync run, which two flows share: from the extracted files to the warehouse."""

from tasks.check import check_loads
from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.deletions import merge_returned
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import BuildReceipt, SyncReceipt
from tasks.engine.sync.runs import SyncRun
from tasks.load import load_side_by_side
from tasks.side_by_side import beside
from tasks.sync import check_row_counts, land_parquet, land_processed, land_processed_csv
from tasks.totesys.currencies import currency_names
from tasks.transform import build_side_by_side, build_tables

CORE = Build("totesys_core", tuple(TOTESYS), lambda _: {})
WAREHOUSE = Build("totesys_warehouse", tuple(TOTESYS), lambda _: currency_names())

SCHEMAS = (CORE.schema, WAREHOUSE.schema)


def complete_run(run: SyncRun) -> SyncReceipt:
    """Load the files of an extracted run, build the tables and close the run.

    A run that was interrupted continues from the step that its ledger entry names.
    """
    if not run.row_counts:
        return land_processed(TOTESYS_SOURCE, run, [], build_tables(CORE) + build_tables(WAREHOUSE), [])
    run, objects = land_parquet(TOTESYS_SOURCE, run, TOTESYS)
    with beside(land_processed_csv, source=TOTESYS_SOURCE, run=run):
        loads = load_side_by_side(objects)
        for (contract, _), load in zip(objects, loads, strict=True):
            check_loads(contract, [load])
        check_row_counts(run, loads)
        builds = _build()
    reopened = merge_returned(HISTORIES, loads) if loads else []
    return land_processed(TOTESYS_SOURCE, run, loads, builds, reopened)


def _build() -> list[BuildReceipt]:
    """Build all tables. No other table reads the origins, so their build runs beside the build of the star schema."""
    core, origins = CORE.split_off("totesys_core.origins")
    return build_tables(core) + build_side_by_side([origins, WAREHOUSE])
