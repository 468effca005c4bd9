"""Check that the warehouse holds the recent changes of its source."""

from datetime import datetime, timedelta

from prefect.logging import get_run_logger

from tasks.connections import open_source, open_warehouse
from tasks.contracts.source import Source
from tasks.engine.receipts import Freshness
from tasks.engine.sync import runs as sync_runs
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import markdown_table
from tasks.run_summary import Ended


@step(task_run_name="check_freshness {source.name}")
def check_freshness(source: Source, as_of: datetime, limit: timedelta) -> Freshness:
    """Compare the newest change in the warehouse with the newest change in the source older than the limit.

    Args:
        source: The operational database.
        as_of: Moment of the check.
        limit: Age at which a change must be in the warehouse.
    """
    logger = get_run_logger()
    with open_warehouse() as connection:
        run = sync_runs.last_loaded_run(connection, source.name)
    with open_source(source) as snapshot:
        due = snapshot.newest_change(as_of - limit)
    found = Freshness(as_of, run.run_number if run else None, str(run.watermark["newest"]) if run else "", due)
    if found.is_stale:
        logger.warning(
            "The warehouse is stale: it lacks the change of %s, which is more than %s older than %s. Its newest change"
            " is of %s, from run %s. Check why %s-sync does not run or fails",
            found.overdue,
            limit,
            f"{as_of:%Y-%m-%d %H:%M}",
            found.in_warehouse or "no time",
            found.run_number,
            source.name,
        )
    else:
        logger.info("The warehouse is fresh: its newest change is of %s", found.in_warehouse or "no time")
    return found


@step(task_run_name="report_freshness {key}")
def report_freshness(key: str, pipeline: str, found: Freshness, limit: timedelta) -> None:
    """Publish the result of the check."""
    facts = [
        ("as of (UTC)", f"{found.as_of:%Y-%m-%d %H:%M}"),
        ("last run in the warehouse", str(found.run_number or "none")),
        ("newest change in the warehouse", found.in_warehouse or "none"),
        (f"newest change in the source that is at least {limit} old", found.overdue or "none"),
    ]
    title = f"{pipeline}: the warehouse is {'stale' if found.is_stale else 'fresh'}"
    publish_markdown(f"# {title}\n\n{markdown_table(['fact', 'value'], facts)}", key=key, description=title)


def ended_freshness(found: Freshness) -> Ended[Freshness]:
    """Describe the end of a check's run."""
    newest = found.in_warehouse or "none"
    if found.is_stale:
        return Ended(found, f"stale: the warehouse lacks the change of {found.overdue}; its newest change: {newest}")
    return Ended(found, f"fresh: the newest change in the warehouse: {newest}")
