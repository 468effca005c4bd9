"""Checks of work pools: each has the right type and a live worker, so that runs start."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus, WorkPool
from prefect.exceptions import ObjectNotFound

from tasks.doctor.server import Server
from tasks.engine.doctor.outcomes import Check, Finding, counted, ok, problem, skipped, warning
from tasks.engine.quoting import listed

PREFIX = "tally-"
"""A pool of Tally has this prefix and its type as its name."""

LATE = timedelta(minutes=1)
MOST_RUNS = 200


def start_command(pool: WorkPool) -> str:
    """The command that starts a worker of a pool."""
    return f".venv/bin/prefect worker start --pool {pool.name} --type {pool.type}"


def has_live_worker(client: SyncPrefectClient, pool: WorkPool) -> bool:
    """Whether a worker of the pool has sent a heartbeat recently."""
    return any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool.name))


def late_runs(client: SyncPrefectClient, pool: WorkPool) -> list[FlowRun]:
    """Runs of a pool that should have started."""
    return client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool.name])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC) - LATE}),
        ),
        limit=MOST_RUNS,
    )


def worker_advice(client: SyncPrefectClient, name: str) -> str:
    """What to do before a run of a pool can start; empty if a worker is alive."""
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        return f"Work pool {name} does not exist. Create it: make deploy"
    if has_live_worker(client, pool):
        return ""
    return f"No worker of pool {name} is alive, so no run can start. Start one: {start_command(pool)}"


def check_pools(server: Server) -> Iterator[Finding]:
    """Each pool exists, has the type that its name states, and takes runs."""
    for name in server.pool_names:
        pool = server.pools.get(name)
        if pool is None:
            yield problem(f"work pool {name} does not exist", "the pool of the deployments", server.deploy)
        elif name.startswith(PREFIX) and pool.type != name.removeprefix(PREFIX):
            yield problem(
                f"work pool {name} has type {pool.type}",
                f"type {name.removeprefix(PREFIX)}: a worker of another type starts the runs in another way",
                f".venv/bin/prefect work-pool delete {name}\n{server.deploy}",
            )
        elif pool.is_paused:
            yield problem(
                f"work pool {name} is paused", "a pool that takes runs", f".venv/bin/prefect work-pool resume {name}"
            )
        elif pool.concurrency_limit is not None and pool.concurrency_limit < 2:
            yield warning(
                f"work pool {name} runs at most {pool.concurrency_limit} flows at a time",
                "at least 2: a backfill is one of these flows, and waits for the runs that it starts",
                f".venv/bin/prefect work-pool clear-concurrency-limit {name}",
            )
        else:
            yield ok(f"work pool {name} exists and takes runs")
    if not server.pool_names:
        yield skipped("this installation does not contain prefect.yaml, and the server has no deployment of Tally")


def check_workers(server: Server) -> Iterator[Finding]:
    """Each pool has a live worker. Without a worker, runs wait, and nothing reports it."""
    for pool in (server.pools[name] for name in server.pool_names if name in server.pools):
        waiting = late_runs(server.client, pool)
        names = listed([run.name for run in waiting], 3)
        if not has_live_worker(server.client, pool):
            yield problem(
                f"no worker of pool {pool.name} is alive"
                + (
                    f"; {counted(len(waiting), 'run waits', 'runs wait')}: {names}"
                    if waiting
                    else "; the next run will wait"
                ),
                "a live worker: it starts the runs of its pool",
                start_command(pool),
            )
        elif waiting:
            yield warning(
                f"{counted(len(waiting), 'run')} of pool {pool.name} should have started: {names}. A worker is alive",
                "runs that start on time",
                f"A limit may hold them back, or a work queue may be paused:\n"
                f".venv/bin/prefect work-pool inspect {pool.name}\n.venv/bin/prefect global-concurrency-limit ls",
            )
        else:
            yield ok(f"a worker of pool {pool.name} is alive, and no run waits")


def check_queues(server: Server) -> Iterator[Finding]:
    """No work queue is paused: a paused queue holds its runs back."""
    found = False
    for name in server.pool_names:
        for queue in server.client.read_work_queues(work_pool_name=name) if name in server.pools else ():
            if queue.is_paused:
                found = True
                yield problem(
                    f"work queue {queue.name} of pool {name} is paused",
                    "a queue that hands out runs",
                    f".venv/bin/prefect work-queue resume {queue.name} --pool {name}",
                )
    if not found:
        yield ok("no work queue is paused")


POOL_CHECKS = (
    Check("work pools", check_pools),
    Check("workers", check_workers),
    Check("work queues", check_queues),
)
