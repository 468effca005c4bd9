"""A Prefect server for tests, and this process as a client of it."""

import inspect
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import certifi
import pytest
from prefect import State, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.utilities.asyncutils import run_coro_as_sync

from deployments.local import prefect_services

SETTINGS = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a saved block registers its own type
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # it imports all integrations, to see whether they changed
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "5",  # by default, it notices after 15 s that a worker has stopped
    **{
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in ("CANCELLATION_CLEANUP", "CLEANUP_RECONCILER", "PAUSE_EXPIRATIONS")
    },
}
"""Settings of the server for tests: they halve its start, and switch off services that no test needs."""

LOGGING = "version: 1\ndisable_existing_loggers: false\nloggers: {prefect: {level: WARNING}}\n"
"""Prefect's own file is longer, and the server reads its file again for each notification."""

RECORDED_WITHIN = 240
"""Seconds until the server must have recorded a task run. It takes one or two on an idle machine."""


@contextmanager
def prefect_session(*, has_ui: bool) -> Iterator[str]:
    """Run a server; flows and the `prefect` command use it until the block ends.

    Args:
        has_ui: Whether the server provides the web interface, whose files it copies at its start.

    Yields:
        The URL of its API.
    """
    folder = Path(tempfile.mkdtemp(prefix="tally-test-prefect-"))
    try:
        (folder / "logging.yml").write_text(LOGGING)
        settings_of_server = {**SETTINGS, "PREFECT_LOGGING_CONFIG_PATH": str(folder / "logging.yml")}
        server = prefect_services.prefect_server(folder, has_ui=has_ui, is_durable=False, settings=settings_of_server)
        with server as api_url, pytest.MonkeyPatch.context() as patch:
            environment = prefect_services.client_environment(folder, api_url)
            environment["PREFECT_API_SSL_CERT_FILE"] = str(_one_authority(folder))
            environment["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
            for variable, value in environment.items():
                patch.setenv(variable, value)
            settings = {
                PREFECT_API_URL: api_url,
                PREFECT_HOME: environment["PREFECT_HOME"],
                PREFECT_API_SSL_CERT_FILE: environment["PREFECT_API_SSL_CERT_FILE"],
                # A flow run waits at its end for its heartbeat thread, which sleeps for whole seconds.
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
                # Few tests read the log lines on the server, and sending them costs a fifth of a run's CPU.
                PREFECT_LOGGING_TO_API_ENABLED: False,
            }
            # The process has one worker for events and one for logs. Each keeps the server with which it started.
            run_coro_as_sync(_drain_workers())
            with temporary_settings(settings):
                yield api_url
                # Wait for open requests, which would fail after the end of the server.
                run_coro_as_sync(_drain_workers())
    finally:
        shutil.rmtree(folder)


@contextmanager
def logs_on_the_server() -> Iterator[None]:
    """Send the log lines of this process's runs to the server during the block."""
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        yield


@contextmanager
def cleared_server() -> Iterator[None]:
    """Remove all deployments, pools, automations, limits and blocks from the server before and after the block.

    Otherwise, a backfill of another test would run the deployment of its pipeline.
    """
    _clear()
    try:
        yield
    finally:
        _clear()


def _clear() -> None:
    with get_client(sync_client=True) as client:
        _remove_registered(client)


def _remove_registered(client: SyncPrefectClient) -> None:
    for deployment in client.read_deployments():  # with its limit and its scheduled runs
        client.delete_deployment(deployment.id)
    for pool in client.read_work_pools():
        client.delete_work_pool(pool.name)
    for automation in client.read_automations():
        client.delete_automation(automation.id)
    for limit in client.read_global_concurrency_limits(limit=200):
        client.delete_global_concurrency_limit_by_name(limit.name)
    for block in client.read_block_documents():
        assert block.id is not None
        client.delete_block_document(block.id)
    # The scheduler may have made a run while its deployment was deleted.
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=scheduled)):
        client.delete_flow_run(run.id)


def run_of(client: SyncPrefectClient, state: State[Any]) -> FlowRun:
    """Return the flow run that ended in a state, as the server has it.

    The newest run of the server may be another one, such as a run of a worker that another test started.
    """
    run = state.state_details.flow_run_id
    assert run is not None
    return client.read_flow_run(run)


def recorded_task_runs(client: SyncPrefectClient, *flow_runs: UUID) -> list[TaskRun]:
    """Return the task runs of flow runs after the server has recorded them.

    The server records changes in their order. This runs one more task, and waits until its end is recorded.
    """
    last = _last_task(return_state=True).state_details.task_run_id
    assert last is not None
    deadline = time.monotonic() + RECORDED_WITHIN
    while not _is_recorded(client, last):
        assert time.monotonic() < deadline, f"expected the server to record a task run within {RECORDED_WITHIN} s"
        time.sleep(0.05)
    return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(flow_runs))))


@task(name="last", log_prints=False)
def _last_task() -> None: ...


def _is_recorded(client: SyncPrefectClient, task_run: UUID) -> bool:
    try:
        state = client.read_task_run(task_run).state
    except ObjectNotFound:
        return False
    return state is not None and state.is_final()


def _one_authority(folder: Path) -> Path:
    """Write a bundle with one certificate. Each client of Prefect reads its bundle; the usual one costs 20 ms."""
    end = "-----END CERTIFICATE-----\n"
    bundle = folder / "authority.pem"
    bundle.write_text(certifi.contents().partition(end)[0] + end, encoding="utf-8")
    return bundle


async def _drain_workers() -> None:
    for waiting in (APILogWorker.drain_all(), EventsWorker.drain_all()):
        if inspect.isawaitable(waiting):
            await waiting
