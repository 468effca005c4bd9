"""Flow `totesys-sync`: copies the changes of an operational database to the lake, and on to a star schema."""

from tasks.contracts.totesys import TOTESYS
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.engine.receipts import SyncReceipt
from tasks.flow_runs import flow
from tasks.parameters import Full, GiveUp, named_by_start
from tasks.run_summary import Ended, with_summary
from tasks.sync import check_stores, extract_changes, list_unfinished_runs, one_at_a_time
from tasks.sync_report import ended_sync, report_sync
from tasks.totesys.runs import SCHEMAS, complete_run
from tasks.transform import build_schemas


@flow(name="totesys-sync", flow_run_name=named_by_start("totesys-sync"))
@with_summary
def totesys_sync(full: Full = False, give_up: GiveUp = 0) -> Ended[list[SyncReceipt]]:
    """Copy the changes since the last run to the lake and the warehouse, all tables as of one moment.

    The flow first completes a run that died. If the files of the dead run are incomplete, the new run supersedes it.

    Args:
        full: Extract all rows, including rows that did not change.
        give_up: Number of a run that died and cannot be completed. Its files are not loaded; extract all rows instead.
    """
    check_stores(TOTESYS_SOURCE)
    build_schemas(TOTESYS, SCHEMAS)
    with one_at_a_time("totesys"):
        receipts = [complete_run(run) for run in list_unfinished_runs(TOTESYS_SOURCE, give_up)]
        receipts.append(complete_run(extract_changes(TOTESYS_SOURCE, SCHEMAS, full=full or give_up > 0)))
    report_sync("totesys-sync", "totesys", receipts)
    return ended_sync(receipts)
