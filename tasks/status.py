"""Report the state of all datasets: an artifact, a page in the lake, and a text for the terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import Flow, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings

from tasks.connections import open_lake, open_warehouse, run_settings
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.status.facts import Facts, Schedule, read_facts
from tasks.engine.status.page import status_page
from tasks.engine.status.summary import Summary
from tasks.engine.status.text import status_markdown
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended

PAGE = "status.html"
"""Name of the page below `EXPORT_PREFIX`."""

MOST_DEPLOYMENTS = 200
"""The largest number that the server returns at once."""

ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED]
_FAILED = {StateType.FAILED, StateType.CRASHED}


@step(task_run_name="Read the state of all datasets")
def read_status() -> Facts:
    """Read the state of all datasets from the ledger, and the schedules from the Prefect server."""
    schedules = list_schedules()
    with open_warehouse() as connection:
        apply_ddl(connection, [], [])
        return read_facts(connection, schedules)


@step(task_run_name="Report the state of all datasets")
def report_status(facts: Facts) -> str:
    """Publish the state of all datasets as an artifact, and write the page `{EXPORT_PREFIX}status.html`.

    Returns:
        Address of the page.
    """
    summary = Summary(facts)
    publish_markdown(status_markdown(summary, markdown_table), key="status", description=summary.headline)
    with open_lake() as lake:
        key = run_settings().export_prefix + PAGE
        lake.write(key, iter([status_page(summary).encode()]), "text/html; charset=utf-8")
        uri = lake.uri(key)
    get_run_logger().info("%s: %s", summary.headline, uri)
    return uri


def ended_status(facts: Facts, uri: str) -> Ended[Facts]:
    """Describe the run: the headline, the most urgent problems and the page."""
    summary = Summary(facts)
    first = "; ".join(f"{each.subject}: {each.kind}" for each in summary.problems[:3])
    return Ended(facts, f"{summary.headline}{f' ({first})' if first else ''}; {summary.subline}; see {uri}")


def list_schedules() -> list[Schedule] | None:
    """Deployments of the Prefect server with their next and last runs. None: the server cannot be reached."""
    if not get_current_settings().api.url:
        return None
    try:
        with get_client(sync_client=True) as client:
            deployments = client.read_deployments(limit=MOST_DEPLOYMENTS)
            found = [_schedule(client, client.read_flow(each.flow_id), each) for each in deployments]
    except (httpx.HTTPError, PrefectHTTPStatusError):
        return None
    return sorted(found, key=lambda each: (each.next_run is None, each.next_run or datetime.max.replace(tzinfo=UTC)))


def _schedule(client: SyncPrefectClient, flow: Flow, deployment: DeploymentResponse) -> Schedule:
    def first_run(states: Sequence[StateType], sort: FlowRunSort) -> FlowRun | None:
        found = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))),
            sort=sort,
            limit=1,
        )
        return next(iter(found), None)

    following = first_run([StateType.SCHEDULED], FlowRunSort.EXPECTED_START_TIME_ASC)
    last = first_run(ENDED, FlowRunSort.END_TIME_DESC)
    return Schedule(
        f"{flow.name}/{deployment.name}",
        following.expected_start_time if following else None,
        last.state_name or "" if last else "",
        last.end_time if last else None,
        bool(last and last.state_type in _FAILED),
        deployment.paused,
        (last.state.message or "") if last and last.state else "",
    )
