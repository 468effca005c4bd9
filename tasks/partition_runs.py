"""Run a pipeline once for each partition, through its deployment or in this process."""

import difflib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast
from uuid import UUID

from prefect import Flow, State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.connections import forget_connections
from tasks.contracts import Contract
from tasks.engine.backfill.staleness import PipelineInputs
from tasks.engine.errors import BackfillError
from tasks.engine.quoting import printable, quoted
from tasks.policy import step
from tasks.prefect_texts import show_progress, start_progress
from tasks.run_summary import run_inside

IN_FLIGHT = 8
"""Maximum number of concurrent runs of a deployment without a concurrency limit. With a limit, the limit applies,
because Prefect retries each surplus run only every half minute."""

MOST_IN_FLIGHT = 100
"""Maximum number of concurrent runs under any limit: one request to the server reads the states of this many."""

REASON_LIMIT = 700
"""Maximum number of characters of a run's message in the report."""

POLL_SECONDS = 2.0
PROGRESS_SECONDS = 2.0
"""Seconds between two updates of the progress that the web interface shows."""

PATIENCE = 120.0
"""Seconds without a started or ended run, after which the log asks for a worker."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that a backfill can run.

    Attributes:
        inputs: Contracts of the datasets that a run loads, and the steps that build tables from them.
        flow: Flow that brings one partition up to date, from the load to `report_finished`. The flow takes `force`. The
            deployment has the name of the flow.
        parameter: Parameter of the flow that names the partition.
        after: Step after a successful backfill of a range; takes the first and the last day of the range. The step may
            find that the same range needs no change.
    """

    inputs: PipelineInputs
    flow: Flow[..., Any]
    parameter: str
    after: Callable[[date, date], object] | None = None

    @property
    def contract(self) -> Contract:
        """Contract of the partitioned dataset."""
        return self.inputs.contract

    @property
    def secondary(self) -> tuple[Contract, ...]:
        """Contracts of the other datasets that a run loads."""
        return self.inputs.secondary

    @property
    def name(self) -> str:
        """Name of the flow, and of its deployment."""
        return self.flow.name


@dataclass(frozen=True)
class Outcome:
    """Outcome of the run of one partition.

    Attributes:
        error: Why the run failed; empty after a success.
        state: Name of the run's last state.
        message: What the run did; empty after a failure.
    """

    partition: str
    error: str
    state: str = "Failed"
    message: str = ""


def pipeline_of(pipelines: Iterable[Pipeline], name: str) -> Pipeline:
    """Find a pipeline by its name.

    Raises:
        BackfillError: No pipeline has this name.
    """
    known = {pipeline.name: pipeline for pipeline in pipelines}
    if not known:
        raise BackfillError(f"unknown pipeline {quoted(name)}: no flow declares a PIPELINE with partitions")
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        raise BackfillError(
            f"unknown pipeline {quoted(name)}{f', did you mean {nearest[0]}' if nearest else ''}? Expected one of"
            f" {', '.join(sorted(known))}"
        )
    return known[name]


def load_partitions(pipeline: Pipeline, due: Sequence[str], *, force: bool = False) -> list[Outcome]:
    """Run a pipeline for some partitions, in their order. A failed run does not stop the others.

    If the pipeline has a deployment, the deployment runs as many partitions at once as its limit allows. Otherwise
    this process runs the partitions one after another.

    Args:
        pipeline: Pipeline to run.
        due: Names of the partitions.
        force: Whether each run loads and builds again even if nothing changed.
    """
    if not due:
        return []
    with get_client(sync_client=True) as client:
        deployment = _deployment_of(client, pipeline)
        ended = _deployed(client, deployment, pipeline, due, force) if deployment else _in_process(pipeline, due, force)
        where = f"its deployment on work pool {deployment.work_pool_name}" if deployment else "this process"
        get_run_logger().info("Running %d partitions of %s in %s", len(due), pipeline.name, where)
        return list(_watched(pipeline, len(due), ended))


@step(task_run_name="Run {pipeline.name} for {partition}")
def load_partition(pipeline: Pipeline, partition: str, *, force: bool = False) -> Outcome:
    """Run the steps of a pipeline for one partition, as a part of this run.

    A flow run for each partition would cost a third of a small partition's time.
    """
    return _outcome(partition, run_inside(pipeline.flow, _parameters(pipeline, partition, force)))


def _parameters(pipeline: Pipeline, partition: str, force: bool) -> dict[str, Any]:
    return {pipeline.parameter: partition} | ({"force": True} if force else {})


def _in_process(pipeline: Pipeline, due: Sequence[str], force: bool) -> Iterator[Outcome]:
    return (load_partition(pipeline, partition, force=force) for partition in due)


def _deployed(
    client: SyncPrefectClient, deployment: DeploymentResponse, pipeline: Pipeline, due: Sequence[str], force: bool
) -> Iterator[Outcome]:
    limit = deployment.global_concurrency_limit
    most = min(max(limit.limit, 1) if limit else IN_FLIGHT, MOST_IN_FLIGHT)
    waiting, running, seen = deque(due), dict[UUID, str](), dict[UUID, str | None]()
    forget_connections()
    moved_at = time.monotonic()
    while waiting or running:
        while waiting and len(running) < most:
            partition = waiting.popleft()
            started = run_deployment(
                deployment.id,
                parameters=_parameters(pipeline, partition, force),
                timeout=0,
                idempotency_key=f"{flow_run.id}-{flow_run.run_count}-{partition}",
            )
            running[cast("FlowRun", started).id] = partition
        time.sleep(POLL_SECONDS)
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(running))))
        for deleted in running.keys() - {run.id for run in found}:
            yield Outcome(running.pop(deleted), "its flow run was deleted")
        for run in found:
            if run.state and run.state.name != seen.get(run.id):
                seen[run.id], moved_at = run.state.name, time.monotonic()
            if run.state and run.state.is_final():
                yield _outcome(running.pop(run.id), run.state)
        if time.monotonic() - moved_at > PATIENCE:
            moved_at = time.monotonic()
            get_run_logger().warning(
                "No run has started or ended for %.0f s: %s. Check that work pool %s has a worker with free slots",
                PATIENCE,
                ", ".join(f"{running[run]} is {seen.get(run)}" for run in running),
                deployment.work_pool_name,
            )


def _outcome(partition: str, state: State[Any]) -> Outcome:
    reason = printable(state.message or "no reason given", REASON_LIMIT)
    name = state.name or state.type.value
    if state.is_completed():
        return Outcome(partition, "", name, reason)
    return Outcome(partition, f"{name}: {reason}", name)


def _deployment_of(client: SyncPrefectClient, pipeline: Pipeline) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{pipeline.name}/{pipeline.name}")
    except ObjectNotFound:
        return None


def _watched(pipeline: Pipeline, total: int, ended: Iterable[Outcome]) -> Iterator[Outcome]:
    """Show the progress of the runs in an artifact and in the log."""
    failed, shown_at = 0, time.monotonic()
    key = f"backfill-{pipeline.name}-progress"
    artifact = start_progress(0.0, f"{pipeline.name}: 0 of {total:,} partitions", key=key)
    for done, outcome in enumerate(ended, 1):
        failed += bool(outcome.error)
        text = f"{pipeline.name}: {done:,} of {total:,} partitions, {failed:,} failed, last {outcome.partition}"
        if done == total or time.monotonic() - shown_at >= PROGRESS_SECONDS:
            shown_at = time.monotonic()
            show_progress(artifact, 100.0 * done / total, text)
        if outcome.error:
            get_run_logger().error("%s failed: %s", outcome.partition, outcome.error)
        get_run_logger().info(text)
        yield outcome
