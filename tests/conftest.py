"""Real services for the tests: Postgres, S3 and a Prefect server, each started by the first test that asks for it.

`WAREHOUSE_DSN` (a role that may create databases) and `AWS_ENDPOINT_URL` with `AWS_*` (a key that may create buckets),
where they are given, are used instead.
"""

import functools
import importlib.metadata
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments import embedded, postgres_binaries, prefect_services
from deployments.child_process import ServiceError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    # A test that forgets to ask for the server fails at once, instead of starting one of its own.
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    os.environ["DO_NOT_TRACK"] = "1"
    config.addinivalue_line("markers", "docker: needs a Docker engine: without one skipped, or failed where CI is set")
    config.addinivalue_line("filterwarnings", "error")
    # pygal's import hook is of the old kind, which Python 3.12 passes over and 3.11 warns of.
    config.addinivalue_line("filterwarnings", "ignore:PluginImportFixer:ImportWarning")
    for ours_to_wait_for in ("prefect", "fastapi", "starlette", "pydantic", "botocore", "websockets", "docker"):
        for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
            config.addinivalue_line("filterwarnings", f"ignore::{category}:{ours_to_wait_for}")


def pytest_report_header() -> list[str]:
    if os.environ.get("WAREHOUSE_DSN"):
        postgres = "given by WAREHOUSE_DSN"
    else:
        try:
            program = postgres_binaries.find_binaries(None) / "postgres"
            postgres = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        except ServiceError as error:
            postgres = str(error)
    s3 = "given by AWS_ENDPOINT_URL"
    if not os.environ.get("AWS_ENDPOINT_URL"):
        s3 = f"ministack {importlib.metadata.version('ministack')}"
    return [f"warehouse: {postgres}", f"lake: {s3}", f"docker: {_docker_missing() or 'available'}"]


@functools.cache
def _docker_missing() -> str | None:
    try:
        subprocess.run(["docker", "info"], capture_output=True, check=True, timeout=20)  # noqa: S607
    except (OSError, subprocess.SubprocessError) as error:
        return f"no Docker engine answers `docker info` ({error})"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (reason := _docker_missing()):
        if os.environ.get("CI"):
            pytest.fail(f"CI is set, so the Docker tests must run, but {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def reachable_tmp_path() -> Iterator[Path]:
    """A temporary folder that an unprivileged Postgres can reach, too; root's `tmp_path` is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="tally-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def services() -> Iterator[embedded.Services]:
    """Postgres and S3. Their settings are not in the environment: `database` and `bucket` set them."""
    folder = Path(tempfile.mkdtemp(prefix="tally-test-"))
    folder.chmod(0o711)
    try:
        with embedded.running(folder / "services", is_durable=False) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(services: embedded.Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The DSN of an empty database, which belongs to the flows' role and to this test; `WAREHOUSE_DSN` is set to it."""
    administration, dsn = services.administration["WAREHOUSE_DSN"], services.environment["WAREHOUSE_DSN"]
    name = sql.Identifier(fresh := f"test_{next(_numbers)}_{secrets.token_hex(4)}")
    owner = conninfo_to_dict(dsn).get("user")
    with psycopg.connect(administration, autocommit=True) as connection:
        role = sql.Identifier(str(owner)) if owner else sql.SQL("CURRENT_USER")
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, role))
    monkeypatch.setenv("WAREHOUSE_DSN", own := make_conninfo(dsn, dbname=fresh))
    yield own
    # Where a test has stopped the server, the port may be another one now.
    administration = services.postgres.administrator_dsn if services.postgres else administration
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def lake_administrator(services: embedded.Services) -> "S3Client":
    """A client that may do what the flows may not: make and configure buckets, set access rules."""
    given = services.administration
    session = boto3.Session(
        given.get("AWS_ACCESS_KEY_ID"),
        given.get("AWS_SECRET_ACCESS_KEY"),
        given.get("AWS_SESSION_TOKEN"),
        region_name=given["AWS_REGION"],
    )
    return session.client("s3", endpoint_url=given["AWS_ENDPOINT_URL"])


@pytest.fixture
def bucket(
    services: embedded.Services, lake_administrator: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of an empty bucket of this test's own; `LAKE_BUCKET` and `AWS_*` are set to it, with the flows' key."""
    name = f"test-{next(_numbers)}-{secrets.token_hex(4)}"
    lake_administrator.create_bucket(Bucket=name)
    for variable, value in services.environment.items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LAKE_BUCKET", name)
    yield name
    for page in lake_administrator.get_paginator("list_object_versions").paginate(Bucket=name):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            lake_administrator.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
    for upload in lake_administrator.list_multipart_uploads(Bucket=name).get("Uploads", []):
        lake_administrator.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    lake_administrator.delete_bucket(Bucket=name)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The API URL of the session's own Prefect server; flows and the `prefect` command talk to it from here on."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
    from prefect.utilities.asyncutils import run_coro_as_sync

    folder = Path(tempfile.mkdtemp(prefix="tally-test-prefect-"))
    try:
        with prefect_services.prefect_server(folder, has_ui=False) as api_url, pytest.MonkeyPatch.context() as patch:
            for variable, value in prefect_services.client_environment(folder, api_url).items():
                patch.setenv(variable, value)
            with temporary_settings({PREFECT_API_URL: api_url, PREFECT_HOME: folder}):
                yield api_url
                # What the flows logged is sent in the background: not to a server that is gone.
                APILogWorker.drain_all(timeout=10)
                EventsWorker.drain_all(timeout=10)
                # What is still on its way to the server would complain when that is gone.
                run_coro_as_sync(_send_logs_and_events())
    finally:
        shutil.rmtree(folder)


async def _send_logs_and_events() -> None:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for waiting in (APILogWorker.drain_all(), EventsWorker.drain_all()):
        if waiting is not None:
            await waiting
