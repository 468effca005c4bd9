"""Flow `totesys-sync`: what changed in an operational database, over the lake, to a star schema."""

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
    """Take an extracted run from where it stands to the warehouse."""
    run, objects = land_parquet(run, TOTESYS) if run.row_counts else (run, [])
    loads = [load_object(contract, source) for contract, source in objects]
    for (contract, _), load in zip(objects, loads, strict=True):
        check_loads(contract, [load])
    builds = build_tables(CORE) + build_tables(WAREHOUSE)
    reopened = merge_returned(HISTORIES, loads) if loads else []
    return land_processed("totesys", run, loads, builds, reopened)


@flow(name="totesys-sync", flow_run_name=named_by_start("totesys-sync"))
def totesys_sync(full: Full = False) -> list[SyncReceipt]:
    """Bring what changed since the last run into the lake and the warehouse, all tables as of one moment.

    A run that died is completed first, or, where it was not whole in the lake yet, superseded by this one.

    Args:
        full: Extract everything, whether it changed or not.
    """
    check_stores()
    build_schemas(TOTESYS, ["totesys_core", "totesys_warehouse"])
    with one_at_a_time("totesys"):
        receipts = [complete_run(run) for run in list_unfinished_runs("totesys")]
        receipts.append(complete_run(extract_changes("totesys", SOURCE_TABLES, full=full)))
    report_sync("totesys-sync", "totesys", receipts)
    return receipts
