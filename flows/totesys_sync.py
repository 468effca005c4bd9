"""Flow `totesys-sync`: copies the changes of an operational database to the lake, and on to a star schema."""

from prefect import flow

from tasks.check import check_loads
from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.deletions import merge_returned
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import SyncReceipt
from tasks.engine.sync.runs import SyncRun
from tasks.load import load_object
from tasks.parameters import Full, named_by_start
from tasks.sync import check_stores, extract_changes, land_parquet, land_processed, list_unfinished_runs, one_at_a_time
from tasks.sync_report import report_sync
from tasks.totesys.currencies import currency_names
from tasks.transform import build_schemas, build_tables

CORE = Build("totesys_core", tuple(TOTESYS), lambda _: {})
WAREHOUSE = Build("totesys_warehouse", tuple(TOTESYS), lambda _: currency_names())


def complete_run(run: SyncRun) -> SyncReceipt:
    """Complete an extracted run: convert, load and build the steps that remain."""
    run, objects = land_parquet(run, TOTESYS) if run.row_counts else (run, [])
    loads = [load_object(contract, source) for contract, source in objects]
    for (contract, _), load in zip(objects, loads, strict=True):
        check_loads(contract, [load])
    builds = build_tables(CORE) + build_tables(WAREHOUSE)
    reopened = merge_returned(HISTORIES, loads) if loads else []
    return land_processed("totesys", run, loads, builds, reopened)


@flow(name="totesys-sync", flow_run_name=named_by_start("totesys-sync"))
def totesys_sync(full: Full = False) -> list[SyncReceipt]:
    """Copy the changes since the last run to the lake and the warehouse, all tables as of one moment.

    The flow first completes a run that died. If the files of the dead run are incomplete, the new run supersedes it.

    Args:
        full: Extract all rows, including rows that did not change.
    """
    check_stores()
    build_schemas(TOTESYS, ["totesys_core", "totesys_warehouse"])
    with one_at_a_time("totesys"):
        receipts = [complete_run(run) for run in list_unfinished_runs("totesys")]
        receipts.append(complete_run(extract_changes("totesys", SOURCE_TABLES, full=full)))
    report_sync("totesys-sync", "totesys", receipts)
    return receipts
