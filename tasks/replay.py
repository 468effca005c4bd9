"""Load rejected rows again after a correction of their contract."""

from collections.abc import Sequence

from prefect.logging import get_run_logger

from tasks.connections import flow_run_id, open_warehouse, warehouse_slot
from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.load.rejections import count_rejections, rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.receipts import ReplayReceipt
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import rejection_table
from tasks.run_summary import Ended


@step(task_run_name="Load rejected rows of {contract.dataset} {partition}")
def load_rejected(contract: Contract, partition: str | None = None) -> list[ReplayReceipt]:
    """Read the open rejected rows of a dataset with its current contract, in one transaction for each load.

    Args:
        contract: The current contract.
        partition: Partition of the rows; None for all partitions.
    """
    logger = get_run_logger()
    with warehouse_slot(), open_warehouse() as connection:
        loads = rejected_loads(connection, contract.dataset, partition)
        receipts = [replay_load(connection, contract, load, flow_run_id()) for load in loads]
    for receipt in receipts:
        logger.info(
            "%s: %s rejected rows were loaded%s, %s were rejected again",
            receipt.source_uri,
            f"{receipt.rows_loaded:,}",
            f" (load {receipt.load_id})" if receipt.load_id else "",
            f"{receipt.rows_left:,}",
        )
    if stale := names_of_stale_partitions(receipts):
        logger.warning(
            "The tables built from %s of %s lack these rows: run the pipeline for these partitions",
            stale,
            contract.dataset,
        )
    if not receipts:
        logger.info("%s %s has no open rejected rows: nothing to replay", contract.dataset, partition or "")
    return receipts


def names_of_stale_partitions(receipts: Sequence[ReplayReceipt]) -> str:
    """Names of the partitions with added rows, which the next run of the pipeline rebuilds; empty without any."""
    return ", ".join(sorted({x.partition or "the one partition" for x in receipts if x.rows_loaded}))


@step(task_run_name="Report rejected rows of {contract.dataset} {partition}")
def report_replay(contract: Contract, partition: str | None, receipts: Sequence[ReplayReceipt]) -> str:
    """Publish the results of a replay, and the rejected rows of all current loads, by reason and with examples.

    Returns:
        The report, in Markdown.
    """
    with open_warehouse() as connection:
        loads = ledger.loads_of(connection, [contract.dataset], partition)
        rejections = count_rejections(connection, loads)
    parts = [f"# Rejected rows of {contract.dataset} {partition or ''}".rstrip()]
    if receipts:
        header = ["object", "load", "replayed as", "loaded", "rejected again"]
        rows = [(x.source_uri, str(x.replay_of), str(x.load_id or ""), x.rows_loaded, x.rows_left) for x in receipts]
        parts.append(markdown_table(header, rows))
    if stale := names_of_stale_partitions(receipts):
        parts.append(f"The tables built from {stale} lack the loaded rows: run the pipeline for these partitions.")
    parts.append(rejection_table(rejections) if rejections else "No row was rejected.")
    report = "\n\n".join(parts)
    key = f"replay-rejected-{contract.dataset}".replace("_", "-")
    publish_markdown(report, key=key, description=f"Rejected rows of {contract.dataset}")
    return report


def ended_replay(receipts: list[ReplayReceipt]) -> Ended[list[ReplayReceipt]]:
    """Describe the end of a replay's run."""
    if not receipts:
        return Ended(receipts, "no open rejected rows: nothing to replay", "Skipped")
    loaded, left = sum(x.rows_loaded for x in receipts), sum(x.rows_left for x in receipts)
    text = f"{loaded:,} rejected rows loaded, {left:,} rejected again"
    if stale := names_of_stale_partitions(receipts):
        text += f"; run the pipeline for {stale}"
    return Ended(receipts, text, "Completed" if loaded else "Unchanged")
