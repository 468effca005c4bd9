"""Flow `totesys-sync`: copies the changes of an operational database to the lake, and on to a star schema."""

from tasks.contracts.totesys import TOTESYS
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.engine.receipts import SyncReceipt
from tasks.flow_runs import flow
from tasks.parameters import Full, named_by_start
from tasks.run_summary import Ended, with_summary
from tasks.sync import check_stores, extract_changes, list_unfinished_runs, one_at_a_time
from tasks.sync_report import ended_sync, report_sync
from tasks.totesys.runs import complete_run
from tasks.transform import build_schemas


@flow(name="totesys-sync", flow_run_name=named_by_start("totesys-sync"))
@with_summary
def totesys_sync(full: Full = False) -> Ended[list[SyncReceipt]]:
    """Copy the changes since the last run to the lake and the warehouse, all tables as of one moment.

    The flow first completes a run that died. If the files of the dead run are incomplete, the new run supersedes it.

    Args:
        full: Extract all rows, including rows that did not change.
    """
    check_stores(TOTESYS_SOURCE)
    build_schemas(TOTESYS, ["totesys_core", "totesys_warehouse"])
    with one_at_a_time("totesys"):
        receipts = [complete_run(run) for run in list_unfinished_runs(TOTESYS_SOURCE)]
        receipts.append(complete_run(extract_changes(TOTESYS_SOURCE, full=full)))
    report_sync("totesys-sync", "totesys", receipts)
    return ended_sync(receipts)
