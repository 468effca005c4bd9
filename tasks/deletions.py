"""Deletions in a source: close the versions of deleted rows, reopen the versions of returned rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from tasks.connections import open_source, open_warehouse, warehouse_slot
from tasks.contracts.histories import History
from tasks.contracts.source import Source
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.receipts import DeletionReceipt, LoadReceipt
from tasks.engine.sync.deletions import close_deleted, reopen_returned
from tasks.engine.sync.steps import last_watermark
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended, counted


@step(task_run_name="Close deleted rows of {source.name}")
def merge_deletions(source: Source, histories: Sequence[History]) -> list[DeletionReceipt]:
    """Close the versions of rows that the source deleted; keep the versions.

    The caller holds the pipeline's lock and has completed every run.

    Args:
        source: The operational database with the tables of the histories.
        histories: Histories to compare with the keys of the source tables.

    Raises:
        SourceError: The source is not the database that the last sync read, or is at an earlier state.
    """
    logger = get_run_logger()
    wanted = {history.source_table: history for history in histories}
    checked_at = datetime.now(UTC)
    with (
        warehouse_slot(),
        open_warehouse() as connection,
        open_source(source, [table for table in source.tables if table.name in wanted]) as snapshot,
    ):
        snapshot.check_follows(last_watermark(connection, source.name))
        receipts = [
            close_deleted(connection, wanted[table.name], snapshot.copy_keys(table), checked_at)
            for table in snapshot.tables
        ]
    for receipt in receipts:
        logger.info(
            "%s: closed %s versions and %s in the quarantine; the source has %s keys",
            receipt.table,
            f"{receipt.closed_count:,}",
            f"{receipt.waiting_count:,}",
            f"{receipt.key_count:,}",
        )
    return receipts


@step(task_run_name="Reopen returned rows")
def merge_returned(histories: Sequence[History], loads: Sequence[LoadReceipt]) -> list[tuple[str, int]]:
    """Reopen the closed versions whose rows the loads of a run delivered again.

    Returns:
        Number of reopened versions, by history.
    """
    by_dataset = {load.dataset: load.load_id for load in loads}
    known = [history for history in histories if history.contract.dataset in by_dataset]
    with open_warehouse() as connection:
        opened = [
            (history.table, reopen_returned(connection, history, by_dataset[history.contract.dataset]))
            for history in known
        ]
    found = [(table, count) for table, count in opened if count]
    for table, count in found:
        get_run_logger().info(
            "%s: reopened %s versions; the source deleted their rows earlier and has them again", table, f"{count:,}"
        )
    return found


@step(task_run_name="Report {title}")
def report_deletions(key: str, title: str, receipts: Sequence[DeletionReceipt]) -> None:
    """Publish the numbers of closed versions."""
    header = ["table", "keys in the source", "versions closed", "closed in the quarantine"]
    rows = [(x.table, x.key_count, x.closed_count, x.waiting_count) for x in receipts]
    publish_markdown(f"# {title}\n\n{markdown_table(header, rows)}", key=key, description=title)


def ended_deletions(receipts: list[DeletionReceipt]) -> Ended[list[DeletionReceipt]]:
    """Describe the end of a run that compares histories with their source."""
    closed, waiting = sum(x.closed_count for x in receipts), sum(x.waiting_count for x in receipts)
    text = f"{counted(len(receipts), 'table')} compared; {counted(closed, 'version')} closed"
    if waiting:
        text += f", {waiting:,} in the quarantine"
    return Ended(receipts, text, "Completed" if closed or waiting else "Unchanged")
