"""A Prefect server for tests, and this process as a client of it."""

import inspect
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import certifi
import pytest
from prefect import task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)
from prefect.utilities.asyncutils import run_coro_as_sync

from deployments.local import prefect_services


@contextmanager
def prefect_session(*, has_ui: bool = False) -> Iterator[str]:
    """Run a separate server; flows and the `prefect` command use it until the block ends.

    Args:
        has_ui: Whether the server provides the web interface, whose files it copies at its start.

    Yields:
        The URL of its API.
    """
    folder = Path(tempfile.mkdtemp(prefix="tally-test-prefect-"))
    try:
        server = prefect_services.prefect_server(folder, has_ui=has_ui, is_durable=False)
        with server as api_url, pytest.MonkeyPatch.context() as patch:
            environment = prefect_services.client_environment(folder, api_url)
            environment["PREFECT_API_SSL_CERT_FILE"] = str(_one_authority(folder))
            for variable, value in environment.items():
                patch.setenv(variable, value)
            settings = {
                PREFECT_API_URL: api_url,
                PREFECT_HOME: environment["PREFECT_HOME"],
                PREFECT_API_SSL_CERT_FILE: environment["PREFECT_API_SSL_CERT_FILE"],
                # A flow run waits at its end for its heartbeat thread, which sleeps for whole seconds.
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            }
            # The process has one worker for events and one for logs. Each keeps the server with which it started.
            run_coro_as_sync(_drain_workers())
            with temporary_settings(settings):
                yield api_url
                # Wait for open requests, which would fail after the end of the server.
                run_coro_as_sync(_drain_workers())
    finally:
        shutil.rmtree(folder)


def recorded_task_runs(client: SyncPrefectClient, flow_run: UUID) -> list[TaskRun]:
    """Return the task runs of a flow run after the server has recorded them.

    The server records changes in their order. This runs one more task, and waits until its end is recorded.
    """
    last = _last_task(return_state=True).state_details.task_run_id
    assert last is not None
    deadline = time.monotonic() + 60
    while not _is_recorded(client, last):
        assert time.monotonic() < deadline, "expected the server to record a task run within 60 s"
        time.sleep(0.05)
    return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))


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
