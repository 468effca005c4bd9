"""Backfills: what a range of partitions lacks, and the account of what was done about it."""

from collections.abc import Iterator, Sequence
from datetime import date

from prefect.logging import get_run_logger

from tasks.connections import flow_run_id, open_lake, open_warehouse, run_settings
from tasks.contracts import Contract
from tasks.contracts.keys import partition_name, partition_value
from tasks.engine import ledger
from tasks.engine.backfill import MEANINGS, BackfillPlan, plan_backfill, read_standing
from tasks.engine.errors import BackfillError
from tasks.engine.receipts import BuildReceipt, ObjectRef
from tasks.engine.sql_files import sql_digest
from tasks.extract import key_template
from tasks.parameters import partition_of
from tasks.partition_runs import Outcome, Pipeline
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import markdown_table

SHOWN_SPANS = 60
SHOWN_FAILURES = 10


def range_of(contract: Contract, start: str | None, end: str | None) -> tuple[date | None, date | None]:
    """First days of the first and the last partition of a range.

    Raises:
        BackfillError: The contract has no partitions, the end is before the start, or one of them is no day.
        ContractError: They are none of the contract's partitions.
    """
    if contract.partition is None:
        raise BackfillError(f"dataset {contract.dataset} has no partitions: expected one that has, to fill in")
    first, last = (_day_of(contract, name) if name else None for name in (start, end))
    if first and last and last < first:
        raise BackfillError(f"expected an end that is no earlier than the start, found {start} to {end}")
    return first, last


def _day_of(contract: Contract, name: str) -> date:
    try:
        return partition_value(partition_of(contract, name))
    except ValueError as error:
        raise BackfillError(
            f"{name} is no day of the calendar: expected a month, YYYY-MM, or a day, YYYY-MM-DD"
        ) from error


@step(task_run_name="list_partitions {contract.dataset} {start} {end}")
def list_partitions(contract: Contract, start: str | None, end: str | None) -> BackfillPlan:
    """Hold one listing of the lake against one query of the ledger; nothing is written.

    Args:
        contract: Whose partitions.
        start: The first; None for the first that is delivered or stands.
        end: The last, which is included; None for the last that is delivered or stands.
    """
    first, last = range_of(contract, start, end)
    unit = contract.partition.unit if contract.partition else "month"
    template = key_template(contract, run_settings())
    objects = []
    with open_lake() as lake, open_warehouse() as connection:
        for stored in lake.list(template.range_prefix(first, last, unit)):
            name = partition_name(day, unit) if (day := template.date_of(stored.key)) else ""
            if name and (start or name) <= name <= (end or name):
                objects.append(ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, name))
        standing = read_standing(connection, contract.dataset, start, end)
    plan = plan_backfill(contract.dataset, unit, first, last, objects, standing)
    for state, meaning in MEANINGS.items():
        if names := plan.of(state):
            get_run_logger().info(
                "%s, %s: %s partitions, %s", state, meaning, f"{len(names):,}", _spelt(plan.spans(state))
            )
    return plan


@step(task_run_name="report_backfill {pipeline.name}")
def report_backfill(
    pipeline: Pipeline, plan: BackfillPlan, outcomes: Sequence[Outcome] = (), left: BackfillPlan | None = None
) -> None:
    """Publish the plan, and what came of it.

    Args:
        pipeline: Whose partitions.
        plan: Of before.
        outcomes: Of the runs.
        left: The plan of afterwards; None for a plan alone.

    Raises:
        BackfillError: A run failed; the message says which and why.
    """
    publish_markdown(
        "\n\n".join(backfill_text(pipeline.name, plan, outcomes, left)),
        key=f"backfill-{pipeline.name}",
        description=f"Backfill of {pipeline.name}",
    )
    failed = [outcome for outcome in outcomes if outcome.fault]
    if failed:
        reasons = "".join(f"\n  {outcome.partition}: {outcome.fault}" for outcome in failed[:SHOWN_FAILURES])
        raise BackfillError(
            f"{len(failed):,} of {len(outcomes):,} partitions of {pipeline.name} failed, the others stand; run the same"
            f" backfill again when the reasons are gone:{reasons}"
            + (
                f"\n  and {len(failed) - SHOWN_FAILURES:,} more, see the artifact"
                if len(failed) > SHOWN_FAILURES
                else ""
            )
        )
    if left and left.due:
        get_run_logger().warning("Due again: %s. Run the same backfill again", ", ".join(left.due[:SHOWN_SPANS]))


def backfill_text(
    name: str, plan: BackfillPlan, outcomes: Sequence[Outcome], left: BackfillPlan | None
) -> Iterator[str]:
    """The account of a backfill, in paragraphs of Markdown."""
    yield f"# Backfill of {name}"
    if not plan.partitions:
        yield "Nothing is delivered, and nothing stands."
    if left is None:
        yield f"{len(plan.due):,} of {len(plan.partitions):,} partitions are due. Nothing was written."
    else:
        failed = sum(bool(outcome.fault) for outcome in outcomes)
        yield f"{len(outcomes) - failed:,} partitions were run, {failed:,} failed."
        if failed:
            faults = [(outcome.partition, outcome.fault) for outcome in outcomes if outcome.fault]
            yield markdown_table(["failed", "because"], faults)
    for title, found in (("Plan", plan), ("Afterwards", left)):
        if found and found.partitions:
            yield f"## {title}"
            rows = [(state, len(found.of(state)), _spelt(found.spans(state)), MEANINGS[state]) for state in MEANINGS]
            yield markdown_table(["state", "partitions", "which", "that is"], [row for row in rows if row[1]])
    orphans = [uri for planned in plan.partitions for uri in planned.orphans]
    if orphans:
        yield f"Gone from the lake, {len(orphans):,} objects whose rows stand: {', '.join(orphans[:SHOWN_SPANS])}"


def _spelt(spans: Sequence[tuple[str, str]]) -> str:
    shown = [first if first == last else f"{first} to {last}" for first, last in spans[:SHOWN_SPANS]]
    return ", ".join(shown) + (f" and {len(spans) - SHOWN_SPANS:,} more" if len(spans) > SHOWN_SPANS else "")


@step(task_run_name="report_finished {contract.dataset} {partition}")
def report_finished(contract: Contract, partition: str, builds: Sequence[BuildReceipt]) -> None:
    """Enter into the ledger that a partition's run came to its end: the last step of a pipeline with partitions.

    A backfill runs a partition again that was loaded without this, as by a run that was killed before its exports.

    Args:
        contract: Of the dataset.
        partition: Which one.
        builds: Of everything that was built from it.
    """
    schemas = sorted({build.table.split(".")[0] for build in builds})
    loads = sorted({load for build in builds for load in build.loads})
    with open_warehouse() as connection:
        ledger.write_finished(
            connection, contract.dataset, partition, loads, schemas, sql_digest(schemas), flow_run_id()
        )
