"""Report syncs: rows by table and operation, and the lag of the warehouse."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from tasks.engine.build.sql_files import DispositionKind, sql_table
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.receipts import SyncReceipt
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended, counted, ended_with

OPERATIONS: dict[DispositionKind, str] = {
    "append": "added",
    "history": "inserted, changed or removed",
    "merge": "inserted, changed or removed",
    "replace": "replaced",
    "upsert": "inserted or changed",
}
"""Operation of a build on the rows that it writes, by write disposition."""


def lag_of(receipt: SyncReceipt) -> str:
    """The age of the newest change at the end of the run that loaded it, and the number of that run.

    A later run without a newer change repeats this lag, because its end does not make the change older.
    """
    if receipt.arrival is None:
        return "unknown"
    run_number, arrived_at = receipt.arrival
    try:
        changed_at = datetime.fromisoformat(receipt.newest_change).replace(tzinfo=UTC)
    except ValueError:  # no change, or a time without a Python value, such as infinity
        return "unknown"
    # The clocks of two servers may differ a little, but a lag is never negative.
    lag = str(max(arrived_at - changed_at, timedelta())).split(".")[0]
    return lag if run_number == receipt.run_number else f"{lag}, by run {run_number}"


def sync_section(receipt: SyncReceipt) -> Iterator[str]:
    """One run as Markdown."""
    yield f"## Run {receipt.run_number}"
    if not receipt.row_counts:
        yield "Nothing changed in the source."
    facts = [
        ("extracted", "all rows" if receipt.is_full else "changed rows"),
        ("newest change in the source (UTC)", receipt.newest_change or "none"),
        ("lag: age of this change at its arrival in the warehouse", lag_of(receipt)),
    ]
    yield markdown_table(["run", str(receipt.run_number)], facts)
    if receipt.row_counts:
        loads = {load.table.split(".")[1]: load for load in receipt.loads}
        rows = [
            (
                table,
                count,
                load.rows_loaded if load else "already loaded",
                load.rows_rejected if load else "already loaded",
            )
            for table, count in receipt.row_counts
            for load in [loads.get(table)]
        ]
        yield markdown_table(["source table", "rows extracted", "rows staged", "rows rejected"], rows)
    written = [
        (build.table, OPERATIONS[sql_table(build.table).disposition.kind], build.row_count)
        for build in receipt.builds
        if build.status == "built"
    ]
    written += [(table, "reopened", count) for table, count in receipt.reopened]
    if written:
        yield markdown_table(["table", "operation", "rows"], written)
    for build in receipt.builds:
        for warning in build.warnings:
            yield f"**Warning:** {warning.table}: check failed: {warning.name}: {warning.broken_count:,} rows."


@step(task_run_name="Report the sync of {pipeline}")
def report_sync(key: str, pipeline: str, receipts: Sequence[SyncReceipt]) -> str:
    """Publish the report of some sync runs.

    Returns:
        The report, in Markdown.
    """
    parts = [f"# Sync of {pipeline}"]
    for receipt in receipts:
        parts += sync_section(receipt)
    report = "\n\n".join(parts)
    publish_markdown(report, key=key, description=f"Sync of {pipeline}")
    last = receipts[-1]
    newest = f"the newest change in the source is from {last.newest_change}; its lag was {lag_of(last)}"
    get_run_logger().info("Run %d: %s", last.run_number, newest if last.newest_change else "the source is empty")
    return report


def ended_sync(receipts: list[SyncReceipt]) -> Ended[list[SyncReceipt]]:
    """Describe the end of a sync's run."""
    rows = sum(count for receipt in receipts for _, count in receipt.row_counts)
    ended = ended_with(
        receipts,
        [load for receipt in receipts for load in receipt.loads],
        [build for receipt in receipts for build in receipt.builds],
    )
    if not rows:
        return replace(ended, message=f"nothing changed in the source; {ended.message}")
    runs = "" if len(receipts) == 1 else f" by {counted(len(receipts), 'run')}"
    return replace(ended, message=f"{rows:,} extracted{runs}; {ended.message}", name="Completed")
