"""Check that every dataset and source is in the warehouse by its deadline."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from prefect import State

from tasks.alerts import FRESHNESS_MISSED, send_alert
from tasks.connections import bucket_of, open_lake, open_source, open_warehouse
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts, sources
from tasks.contracts.source import Source
from tasks.engine import freshness
from tasks.engine.errors import SettingsError, StaleDataError, TallyError
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.receipts import Freshness
from tasks.engine.sync import runs as sync_runs
from tasks.extract import delivery_of
from tasks.partition_runs import Pipeline
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended

ORDER = ("stale", "unchecked", "no data yet", "fresh")
"""The order of the report: what needs attention comes first."""


@step(task_run_name="Check the freshness of {contract.dataset}")
def check_dataset(contract: Contract, moment: datetime, pipeline: str | None) -> Freshness:
    """Compare one dataset with its deadline.

    Args:
        contract: A contract with `expected`.
        moment: Moment of the check.
        pipeline: Name of the pipeline that loads the dataset, if it records complete partitions.
    """
    with open_warehouse() as connection, open_lake(bucket_of(contract)) as lake:
        return freshness.check_dataset(
            connection, contract, moment, lambda partition: delivery_of(lake, contract, partition), pipeline
        )


@step(task_run_name="Check the freshness of {source.name}")
def check_source(source: Source, moment: datetime) -> Freshness:
    """Compare the newest change in the warehouse with the newest change in the source that is overdue.

    A source without changes does not make the warehouse stale. A source without a login and without runs has no data
    yet.

    Args:
        source: A source with `expected`.
        moment: Moment of the check.

    Raises:
        ValueError: The source has no `expected`.
    """
    if source.expected is None:
        raise ValueError(f"expected a source with a limit, found {source.name} without one")
    limit = f"within {source.expected.minutes} minutes"
    with open_warehouse() as connection:
        run = sync_runs.last_loaded_run(connection, source.name)
    try:
        snapshot = open_source(source)
    except SettingsError:
        if run:
            raise
        return Freshness(source.name, "", "no data yet", limit, "no login is set, and nothing was ever loaded")
    with snapshot as opened:
        overdue = opened.newest_change(moment - source.expected.delay)
    newest = str(run.watermark["newest"]) if run else ""
    loaded = "no change is in the warehouse"
    if run and newest:
        loaded = f"the newest change in the warehouse is from {newest} (run {run.run_number})"
    if overdue <= newest:
        return Freshness(source.name, "", "fresh", limit, loaded)
    found = f"the change from {overdue} is missing; {loaded}"
    return Freshness(
        source.name, "", "stale", limit, found, f"Look at the last runs of the flow that syncs {source.name}"
    )


def check_all(moment: datetime, pipelines: Sequence[Pipeline]) -> list[Freshness]:
    """Check every dataset and every source with a deadline. A check that fails does not stop the other checks.

    Args:
        moment: Moment of the check.
        pipelines: The pipelines that record complete partitions.
    """
    names = {pipeline.inputs.contract.dataset: pipeline.name for pipeline in pipelines}
    states: Mapping[str, State[Freshness]] = {
        contract.dataset: check_dataset(contract, moment, names.get(contract.dataset), return_state=True)
        for contract in contracts().values()
        if contract.expected
    } | {
        source.name: check_source(source, moment, return_state=True) for source in sources().values() if source.expected
    }
    found = [_result(name, state) for name, state in states.items()]
    return sorted(found, key=lambda item: (ORDER.index(item.status), item.name))


def _result(name: str, state: State[Freshness]) -> Freshness:
    try:
        return state.result()
    except TallyError as error:
        return Freshness(name, "", "unchecked", "", f"the check failed: {error}", "Correct the cause of this error")


@step(task_run_name="Report the freshness")
def report_freshness(found: Sequence[Freshness]) -> None:
    """Publish the result of all checks, and send an event for each dataset that needs attention."""
    rows = [
        (x.name, x.status, x.partition or "-", x.expected, x.found, x.next_step or "-", ", ".join(x.gaps) or "-")
        for x in found
    ]
    header = ["dataset", "status", "partition", "expected", "found", "next step", "earlier partitions that are missing"]
    title = _summary(found)
    table = markdown_table(header, rows) if rows else "No contract and no source declares `expected`."
    publish_markdown(f"# {title}\n\n{table}", key="freshness", description=title)
    for item in found:
        if item.needs_attention:
            send_alert(FRESHNESS_MISSED, item.name, _sentence(item), item.next_step, partition=item.partition)


def ended_freshness(found: Sequence[Freshness]) -> Ended[Sequence[Freshness]]:
    """Describe the end of a check's run.

    Raises:
        StaleDataError: A dataset or source is stale or could not be checked. The message names each of them.
    """
    attention = [item for item in found if item.needs_attention]
    lines = [_summary(found), *(f"{_sentence(item)}. Next: {item.next_step}." for item in attention)]
    lines += [f"{item.name} also lacks earlier partitions: {', '.join(item.gaps)}." for item in found if item.gaps]
    if attention:
        raise StaleDataError("\n".join(lines))
    return Ended(found, " ".join(lines))


def _sentence(item: Freshness) -> str:
    late = f", late by {_duration(item.late_by.total_seconds())}" if item.late_by is not None else ""
    what = " ".join(filter(None, (item.name, item.partition)))
    return f"{what}: expected {item.expected}{late}; {item.found}" if item.expected else f"{what}: {item.found}"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _summary(found: Sequence[Freshness]) -> str:
    def named(status: str) -> list[str]:
        return [item.name for item in found if item.status == status]

    parts = [f"{len(named('fresh'))} of {len(found)} datasets and sources are fresh"]
    parts += [f"{status}: {', '.join(named(status))}" for status in ORDER[:-1] if named(status)]
    return "; ".join(parts) + "."
