"""A Prefect server for tests, and this process as a client of it."""

import inspect
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi
import pytest
from prefect.events.worker import EventsWorker
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
def prefect_session() -> Iterator[str]:
    """Run a separate server; flows and the `prefect` command use it until the block ends.

    Yields:
        The URL of its API.
    """
    folder = Path(tempfile.mkdtemp(prefix="tally-test-prefect-"))
    try:
        server = prefect_services.prefect_server(folder, is_durable=False)
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
            with temporary_settings(settings):
                yield api_url
                # Wait for open requests, which would fail after the end of the server.
                run_coro_as_sync(_drain_workers())
    finally:
        shutil.rmtree(folder)


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
