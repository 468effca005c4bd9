"""Backfills: compare a range of partitions with the ledger, and report the plan and the runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from prefect.logging import get_run_logger

from tasks.connections import bucket_of, flow_run_id, open_lake, open_warehouse
from tasks.contracts import Contract
from tasks.contracts.keys import partition_value
from tasks.engine.backfill.finished_partitions import write_finished
from tasks.engine.backfill.planner import DUE, MEANINGS, BackfillPlan, plan_backfill
from tasks.engine.backfill.staleness import read_current
from tasks.engine.build.sql_files import sql_digest
from tasks.engine.errors import BackfillError, MissingObjectError
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.receipts import BuildReceipt
from tasks.extract import deliveries_between, objects_of
from tasks.parameters import partition_of
from tasks.partition_runs import Outcome, Pipeline
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended, StateName, counted

SHOWN_SPANS = 60
SHOWN_FAILURES = 10


def range_of(contract: Contract, start: str | None, end: str | None) -> tuple[date | None, date | None]:
    """First days of the first and the last partition of a range.

    Raises:
        BackfillError: The contract has no partitions, the end is earlier than the start, or a name is no calendar day.
        ContractError: A name does not fit the contract's partitions.
    """
    if contract.partition is None:
        raise BackfillError(f"dataset {contract.dataset} has no partitions: expected a dataset with partitions")
    first, last = (_day_of(contract, name) if name else None for name in (start, end))
    if first and last and last < first:
        raise BackfillError(f"expected an end that is not earlier than the start, found {start} to {end}")
    return first, last


def _day_of(contract: Contract, name: str) -> date:
    try:
        return partition_value(partition_of(contract, name))
    except ValueError as error:
        raise BackfillError(f"{name} is not a calendar day: expected a month, YYYY-MM, or a day, YYYY-MM-DD") from error


@step(task_run_name="List partitions of {pipeline.name} {start} {end}")
def list_partitions(pipeline: Pipeline, start: str | None, end: str | None) -> BackfillPlan:
    """Compare a listing of each dataset with the ledger; write nothing.

    Args:
        pipeline: Pipeline of the partitions.
        start: First partition; None for the first delivered or loaded partition.
        end: Last partition, included; None for the last delivered or loaded partition.
    """
    contract = pipeline.contract
    first, last = range_of(contract, start, end)
    unit = contract.partition.unit if contract.partition else "month"
    deliveries = deliveries_in(contract, start, end)
    listed = {other.dataset: deliveries_in(other, start, end) for other in pipeline.secondary}
    listed[contract.dataset] = deliveries
    with open_warehouse() as connection:
        current = read_current(connection, pipeline.inputs, start, end, listed)
    plan = plan_backfill(contract.dataset, unit, first, last, deliveries, current)
    for state, meaning in MEANINGS.items():
        if names := plan.of(state):
            get_run_logger().info(
                "%s (%s): %s, %s", state, meaning, counted(len(names), "partition"), _spelt(plan.spans(state))
            )
    if plan.changes:
        get_run_logger().info("Changed inputs: %s", ", ".join(plan.changes))
    return plan


def emptied_meanwhile(plan: BackfillPlan, outcomes: Sequence[Outcome]) -> list[str]:
    """Partitions whose last object moved to another partition during the runs of a backfill.

    Args:
        plan: Plan after the runs.
        outcomes: Outcomes of the runs.
    """
    return [name for name in plan.of("emptied") if name not in {outcome.partition for outcome in outcomes}]


def deliveries_in(contract: Contract, start: str | None, end: str | None) -> dict[str, Delivery]:
    """List the objects of a range of partitions, or of a dataset without partitions, by partition."""
    bounds = range_of(contract, start, end) if contract.partition else (None, None)
    with open_lake(bucket_of(contract)) as lake:
        if contract.partition is None:
            try:
                objects_of(lake, contract)
            except MissingObjectError as error:  # each run repeats this warning
                get_run_logger().warning("%s", error)
        return deliveries_between(lake, contract, *bounds)


@step(task_run_name="Report the backfill of {pipeline.name}")
def report_backfill(
    pipeline: Pipeline, plan: BackfillPlan, outcomes: Sequence[Outcome] = (), left: BackfillPlan | None = None
) -> None:
    """Publish the plan, and the outcomes of the runs.

    Args:
        pipeline: Pipeline of the partitions.
        plan: Plan before the runs.
        outcomes: Outcomes of the runs.
        left: Plan after the runs; None for a dry run.

    Raises:
        BackfillError: A run failed; the message names the partition and the reason.
    """
    publish_markdown(
        "\n\n".join(backfill_text(pipeline.name, plan, outcomes, left)),
        key=f"backfill-{pipeline.name}",
        description=f"Backfill of {pipeline.name}",
    )
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        reasons = "".join(f"\n  {outcome.partition}: {outcome.error}" for outcome in failed[:SHOWN_FAILURES])
        if len(failed) > SHOWN_FAILURES:
            reasons += f"\n  and {len(failed) - SHOWN_FAILURES:,} more, see the artifact"
        raise BackfillError(
            f"{len(failed):,} of {counted(len(outcomes), 'partition')} of {pipeline.name} failed,"
            f" {len(outcomes) - len(failed):,} succeeded; correct the errors and run the same backfill again:{reasons}"
        )
    if left and left.due:
        get_run_logger().warning("Still due: %s. Run the same backfill again", ", ".join(left.due[:SHOWN_SPANS]))
    elif left and not outcomes:
        get_run_logger().info("Nothing was due: no run of %s was started", pipeline.name)


def backfill_text(
    name: str, plan: BackfillPlan, outcomes: Sequence[Outcome], left: BackfillPlan | None
) -> Iterator[str]:
    """The report of a backfill, in paragraphs of Markdown."""
    yield f"# Backfill of {name}"
    if not plan.partitions:
        yield "No partition is delivered or loaded."
    if left is None:
        verb = "is" if len(plan.due) == 1 else "are"
        yield f"{len(plan.due):,} of {counted(len(plan.partitions), 'partition')} {verb} due. Nothing was written."
    elif not outcomes:
        yield f"Nothing was due: no run of {name} was started."
    else:
        failed = sum(bool(outcome.error) for outcome in outcomes)
        verb = "was" if len(outcomes) == 1 else "were"
        count = counted(len(outcomes), "partition")
        yield f"{count} {verb} run: {len(outcomes) - failed:,} succeeded, {failed:,} failed."
        if failed:
            errors = [(outcome.partition, outcome.error) for outcome in outcomes if outcome.error]
            yield markdown_table(["failed partition", "error"], errors)
    if plan.changes:
        yield f"Changed inputs: {', '.join(plan.changes[:SHOWN_SPANS])}."
    for title, found in (("Plan before the runs" if left else "Plan", plan), ("Plan after the runs", left)):
        if found and found.partitions:
            yield f"## {title}"
            rows = [(state, len(found.of(state)), _spelt(found.spans(state)), MEANINGS[state]) for state in MEANINGS]
            yield markdown_table(["state", "partitions", "names", "meaning"], [row for row in rows if row[1]])
    removed = [uri for planned in plan.partitions for uri in planned.removed]
    if removed:
        yield (
            f"The supplier removed {counted(len(removed), 'loaded object')} from deliveries; a run deletes the"
            f" rows: {', '.join(removed[:SHOWN_SPANS])}"
        )
    orphans = [uri for planned in plan.partitions for uri in planned.orphans]
    if orphans:
        yield (
            f"The lake no longer holds {counted(len(orphans), 'loaded object')}; the rows remain:"
            f" {', '.join(orphans[:SHOWN_SPANS])}"
        )


def _spelt(spans: Sequence[tuple[str, str]]) -> str:
    shown = [first if first == last else f"{first} to {last}" for first, last in spans[:SHOWN_SPANS]]
    return ", ".join(shown) + (f" and {len(spans) - SHOWN_SPANS:,} more" if len(spans) > SHOWN_SPANS else "")


@step(task_run_name="Record the end of {contract.dataset} {partition}")
def report_finished(contract: Contract, partition: str, builds: Sequence[BuildReceipt]) -> None:
    """Record in the ledger that the run of a partition is complete: the last step of a pipeline with partitions.

    A backfill runs a partition again if this entry is missing, for example because the run died during its exports,
    or if the fingerprints of the partition's tables changed.

    Args:
        contract: Contract of the dataset.
        partition: Name of the partition.
        builds: Receipts of all steps that built tables for the partition.
    """
    schemas = sorted({build.table.split(".")[0] for build in builds})
    loads = sorted({load for build in builds for load in build.loads})
    marks = {build.table: build.fingerprint for build in builds if not build.is_whole}
    with open_warehouse() as connection:
        write_finished(
            connection, contract.dataset, partition, loads, schemas, sql_digest(schemas), flow_run_id(), marks
        )


def ended_backfill(result: BackfillPlan, plan: BackfillPlan, outcomes: Sequence[Outcome] | None) -> Ended[BackfillPlan]:
    """Describe the end of a backfill's run in which no partition failed.

    Args:
        result: What the flow returns.
        plan: Plan before the runs.
        outcomes: Outcomes of the runs; None for a dry run.
    """
    if not plan.partitions:
        return Ended(result, "no partition is delivered or loaded: nothing to do", "Skipped")
    if outcomes is None:
        return Ended(
            result,
            f"dry run: {len(plan.due):,} of {counted(len(plan.partitions), 'partition')} due; nothing was written",
        )
    states = [f"{len(names):,} {state}" for state in MEANINGS if state not in DUE and (names := plan.of(state))]
    if not outcomes:
        name: StateName = "Unchanged" if plan.of("unchanged") else "Skipped"
        return Ended(result, f"nothing was due: {', '.join(states)}", name)
    ends = [f"{count:,} {name}" for name, count in Counter(outcome.state for outcome in outcomes).items()]
    left = [f"{len(result.due):,} still due"] if result.due else []
    return Ended(result, "; ".join([f"{counted(len(outcomes), 'partition')} run: {', '.join(ends)}", *states, *left]))
