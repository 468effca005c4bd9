"""A local Prefect server and a local worker, as child processes."""

import contextlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from deployments.local.child_process import LOOPBACK, free_port, owned_folder, spawn, stop, wait_until_ready
from deployments.local.postgres_server import Postgres

PROJECT = Path(__file__).resolve().parents[2]
BATCHED_WRITES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "10",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
}
"""The server writes changes of task runs in batches of 10, events in batches of 200, and smaller batches each second.

By default, the server writes each change of a task run alone, and events in batches of 20. A batch of more than 10
changes saves no more CPU, and if Postgres refuses a change, the server drops all changes of its batch.
"""

WORKER_TIMEOUT = 35.0
"""Seconds that a worker has to stop its runs before it is killed. Prefect gives each run 30 s."""


def client_environment(folder: Path, api_url: str) -> dict[str, str]:
    """Return the Prefect variables that connect a process to the server of `folder` and turn telemetry off."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(folder.absolute() / "home"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def without_prefect(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without its Prefect variables, which may name another server or profile."""
    return {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}


@contextlib.contextmanager
def prefect_server(
    folder: Path,
    *,
    port: int | None = None,
    log_folder: Path | None = None,
    has_ui: bool = True,
    is_durable: bool = True,
    settings: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> Iterator[str]:
    """Run a Prefect server until the block or this process ends.

    The server has its own Postgres database. With SQLite, Prefect's default, concurrent requests fail with
    `503 Service Unavailable` (`database is locked`). Clients repeat such a request, but the web interface does not.

    Args:
        folder: The folder for `PREFECT_HOME` and the database. It is created if it is missing. Only one process at a
            time can use it.
        port: The preferred port. If it is in use, the server gets another port.
        log_folder: An existing folder for the logs; by default `folder`.
        has_ui: Whether the server provides the web interface.
        is_durable: See `Postgres`.
        settings: More variables of the server.
        timeout: Seconds that the server may need to start. The first start creates the database.

    Yields:
        The URL of the API, for `PREFECT_API_URL`. The URL without `/api` is the web interface.

    Raises:
        ServiceError: The folder is in use, or the server did not start.
    """
    folder = folder.absolute()
    with owned_folder(folder) as owned, contextlib.ExitStack() as stack:
        folder.chmod(0o711)  # the unprivileged account of Postgres can enter the folder
        log_folder = log_folder or folder
        postgres = Postgres(folder / "postgres", log=log_folder / "prefect-postgres.log", is_durable=is_durable)
        postgres.start()
        stack.callback(postgres.stop)
        port = free_port(port)
        api_url = f"http://{LOOPBACK}:{port}/api"
        environment = without_prefect(os.environ) | client_environment(folder, api_url)
        home = Path(environment["PREFECT_HOME"])
        home.mkdir(mode=0o700, exist_ok=True)
        environment |= {
            "PREFECT_SERVER_API_HOST": LOOPBACK,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_UI_API_URL": api_url,
            "PREFECT_SERVER_UI_ENABLED": str(has_ui).lower(),
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),  # site-packages may be read-only
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg:{postgres.dsn.partition(':')[2]}",
            "PREFECT__SERVER_FINAL": "1",
            **BATCHED_WRITES,
            **(settings or {}),
        }
        # `prefect server start` runs the same command in a subprocess, which might survive its parent.
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        command += ["--host", LOOPBACK, "--port", str(port), "--timeout-keep-alive", "5", "--log-level", "warning"]
        log = log_folder / "prefect-server.log"
        process = spawn(command, environment=environment, log=log, folder=home, keep_open=(owned,))
        stack.callback(stop, process)
        wait_until_ready(process, lambda: answers(api_url), name="The Prefect server", log=log, timeout=timeout)
        stack.callback(_flush_workers)
        yield api_url


def _flush_workers() -> None:
    """Send the logs and events that this process has buffered before the server stops."""
    if "prefect.logging.handlers" in sys.modules:
        from prefect.events.worker import EventsWorker  # noqa: PLC0415 - needed only if flows ran in this process
        from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

        APILogWorker.drain_all(timeout=10)
        EventsWorker.drain_all(timeout=10)


@contextlib.contextmanager
def worker(
    pool: str,
    kind: str,
    *,
    environment: Mapping[str, str],
    log: Path,
    name: str | None = None,
    limit: int | None = None,
) -> Iterator[int]:
    """Run a Prefect worker in the project's folder until the block ends.

    Args:
        pool: The name of an existing work pool.
        kind: The type of the pool, `process` or `docker`.
        environment: The complete environment of the worker. Runs of a process pool inherit it.
        log: The file for the worker's output.
        name: The worker's name; by default `tally-` and the type of the pool.
        limit: How many runs the worker executes at once; by default as many as the pool allows.

    Yields:
        The worker's process id.

    Raises:
        ServiceError: The worker did not start.
    """
    port = free_port()
    health = f"http://{LOOPBACK}:{port}/health"
    command = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        pool,
        "--type",
        kind,
        "--name",
        name or f"tally-{kind}",
        *(["--limit", str(limit)] if limit else []),
    ]
    command += ["--no-create-pool-if-not-found", "--install-policy", "never", "--with-healthcheck"]
    own = {"PREFECT_WORKER_WEBSERVER_HOST": LOOPBACK, "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
    process = spawn(command, environment={**environment, **own}, log=log, folder=PROJECT)
    with contextlib.ExitStack() as stack:
        stack.callback(stop, process, timeout=WORKER_TIMEOUT)
        wait_until_ready(process, lambda: _is_ok(health), name="The Prefect worker", log=log, timeout=120)
        yield process.pid


def answers(api_url: str) -> bool:
    """Return whether a Prefect server responds at the URL."""
    return _is_ok(f"{api_url}/health")


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - a local HTTP URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
