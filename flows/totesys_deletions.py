"""Flow `totesys-deletions`: closes the versions of rows that an operational database deleted, and keeps them."""

from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.deletions import ended_deletions, merge_deletions, report_deletions
from tasks.engine.receipts import DeletionReceipt
from tasks.flow_runs import flow
from tasks.parameters import named_by_start
from tasks.run_summary import Ended, with_summary
from tasks.sync import check_stores, list_unfinished_runs, one_at_a_time
from tasks.totesys.runs import SCHEMAS, complete_run
from tasks.transform import build_schemas


@flow(name="totesys-deletions", flow_run_name=named_by_start("totesys-deletions"))
@with_summary
def totesys_deletions() -> Ended[list[DeletionReceipt]]:
    """Compare the keys of the facts with the keys of the source, and close the versions of deleted rows.

    The flow first completes a sync that died. Otherwise, rows that the sync has read could arrive after the comparison,
    although the source has deleted them.
    """
    check_stores(TOTESYS_SOURCE)
    build_schemas(TOTESYS, SCHEMAS)
    with one_at_a_time("totesys"):
        for run in list_unfinished_runs(TOTESYS_SOURCE):
            complete_run(run)
        receipts = merge_deletions(TOTESYS_SOURCE, HISTORIES)
    report_deletions("totesys-deletions", "Deletions in totesys", receipts)
    return ended_deletions(receipts)
