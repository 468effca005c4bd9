"""Report what syncs brought: rows by table and operation, and how far the warehouse is behind the source."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from tasks.engine.build.sql_files import DispositionKind, sql_table
from tasks.engine.receipts import SyncReceipt
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import markdown_table

OPERATIONS: dict[DispositionKind, str] = {
    "append": "added",
    "merge": "inserted, changed or removed",
    "replace": "replaced",
    "upsert": "inserted or changed",
}
"""What a build does with the rows that it writes, by its write disposition."""


def lag_of(receipt: SyncReceipt) -> str:
    """The age of the newest change when the run that brought it ended, and which run that was.

    A later run without a newer change repeats this lag: the warehouse was no later for it.
    """
    if receipt.arrival is None:
        return "unknown"
    run_number, arrived_at = receipt.arrival
    try:
        changed_at = datetime.fromisoformat(receipt.newest_change).replace(tzinfo=UTC)
    except ValueError:  # no change at all, or a time that Python does not have, such as infinity
        return "unknown"
    # The clocks of two servers may differ a little: no change arrives before it is made.
    lag = str(max(arrived_at - changed_at, timedelta())).split(".")[0]
    return lag if run_number == receipt.run_number else f"{lag}, by run {run_number}"


def sync_section(receipt: SyncReceipt) -> Iterator[str]:
    """One run as Markdown."""
    yield f"## Run {receipt.run_number}"
    if not receipt.row_counts:
        yield "Nothing changed in the source."
    facts = [
        ("extracted", "everything" if receipt.is_full else "what changed"),
        ("newest change in the source (UTC)", receipt.newest_change or "none"),
        ("lag: its age when it arrived in the warehouse", lag_of(receipt)),
    ]
    yield markdown_table(["run", str(receipt.run_number)], facts)
    if receipt.row_counts:
        loads = {load.table.split(".")[1]: load for load in receipt.loads}
        rows = [
            (table, count, load.rows_loaded if load else "before", load.rows_rejected if load else "before")
            for table, count in receipt.row_counts
            for load in [loads.get(table)]
        ]
        yield markdown_table(["source table", "rows extracted", "rows staged", "rows rejected"], rows)
    written = [
        (build.table, OPERATIONS[sql_table(build.table).disposition.kind], build.row_count)
        for build in receipt.builds
        if build.status == "built"
    ]
    written += [(table, "opened again", count) for table, count in receipt.reopened]
    if written:
        yield markdown_table(["table", "operation", "rows"], written)
    for build in receipt.builds:
        for warning in build.warnings:
            yield f"**Warning:** {warning.table}: check failed: {warning.name}: {warning.broken_count:,} rows."


@step(task_run_name="report_sync {key}")
def report_sync(key: str, pipeline: str, receipts: Sequence[SyncReceipt]) -> str:
    """Publish what runs brought.

    Returns:
        The report, in Markdown.
    """
    parts = [f"# Sync of {pipeline}"]
    for receipt in receipts:
        parts += sync_section(receipt)
    report = "\n\n".join(parts)
    publish_markdown(report, key=key, description=f"Sync of {pipeline}")
    last = receipts[-1]
    get_run_logger().info(
        "Run %d: the newest change of the source is of %s; its lag was %s",
        last.run_number,
        last.newest_change or "no time",
        lag_of(last),
    )
    return report
