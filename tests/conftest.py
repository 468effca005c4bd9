"""Real services for the tests: Postgres, S3 and a Prefect server. The first test that needs a service starts it.

If `WAREHOUSE_DSN` or `AWS_ENDPOINT_URL` with `AWS_*` is set, the tests use that service. The role must be allowed to
create databases and roles, the key must be allowed to create buckets.
"""

import contextlib
import functools
import gc
import importlib.metadata
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import ceph_gateway
import packaged_postgres
import pgbouncer_pooler
import pytest
from hypothesis import HealthCheck, settings
from own_databases import OwnDatabases

from deployments.local import embedded, postgres_binaries
from deployments.local.child_process import ServiceError
from tasks.contracts import catalog
from tasks.engine.lake.client import Lake
from tasks.engine.lake.s3_clients import S3Clients

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytest_plugins = sorted(path.stem for path in (Path(__file__).parent / "support").glob("*_fixtures.py"))
"""Modules with further fixtures, such as those of one pipeline."""

TIERS = ("unit", "sql_cases", "integration", "faults", "end_to_end")

# `make test` always draws the same examples; `make test-random` draws new examples and prints the seed.
# No profile limits the time of an example, because a busy machine would then fail tests.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("random", settings.get_profile("repeatable"), derandomize=False, print_blob=True)
settings.register_profile("sanitizers", settings.get_profile("repeatable"), max_examples=20)  # see `example_counts`
settings.load_profile("repeatable")

LARGE_BUCKET_BYTES = 1_000_000
"""Our own S3 server keeps the objects of a smaller bucket until the session ends."""

_numbers = itertools.count(1)
_clients = S3Clients()


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all tests are collected: nearly all objects that exist then stay for the session
    # A test that does not request the server must fail at once, and not start a second server.
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    os.environ["DO_NOT_TRACK"] = "1"
    config.addinivalue_line("markers", "docker: needs a Docker engine: skipped without one, or failed if CI is set")
    config.addinivalue_line("markers", "ledger: begins with an empty ledger, instead of an empty database")
    config.addinivalue_line("markers", "every_store: runs on the S3 server of the session and on Ceph's gateway")
    config.addinivalue_line(
        "markers", "object_store: needs Ceph's gateway: skipped if it is not installed, or failed if CI is set"
    )
    config.addinivalue_line(
        "markers", "pooler: needs PgBouncer: skipped if it is not installed, or failed if CI is set"
    )
    config.addinivalue_line(
        "markers",
        "packaged_postgres: needs Debian's Postgres server: skipped if it is not installed, or failed if CI is set",
    )
    config.addinivalue_line("markers", "slow: takes more than about a second; `make test-fast` leaves it out")
    config.addinivalue_line("filterwarnings", "error")
    # pygal has an import hook of the old kind, which Python 3.12 ignores and Python 3.11 warns about.
    config.addinivalue_line("filterwarnings", "ignore:PluginImportFixer:ImportWarning")
    # Apprise, which sends Prefect's notifications, imports imghdr where Python still has it.
    config.addinivalue_line("filterwarnings", "ignore:'imghdr' is deprecated:DeprecationWarning")
    # Prefect's clients leave open sockets to the garbage collector, which warns in an unrelated test.
    config.addinivalue_line("filterwarnings", "ignore:unclosed (<socket|transport):ResourceWarning")
    # Prefect's background threads draw random numbers, even while a strategy is active.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")
    for library in ("prefect", "fastapi", "starlette", "pydantic", "botocore", "websockets", "docker"):
        for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
            config.addinivalue_line("filterwarnings", f"ignore::{category}:{library}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `every_store` on each S3 server."""
    if metafunc.definition.get_closest_marker("every_store"):
        ceph = pytest.param("ceph", marks=pytest.mark.object_store)
        metafunc.parametrize("store", ["session", ceph], indirect=True)


def _tier_of(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run quick tests first. With several processes, run them last, so that no process waits for a long last test.

    One process runs all end-to-end tests, and begins with them.
    """
    tiers = list(TIERS)
    if "PYTEST_XDIST_WORKER" in os.environ:
        tiers.reverse()
    for item in items:
        if _tier_of(item) == "end_to_end":  # these tests share one Docker engine
            item.add_marker(pytest.mark.xdist_group("end_to_end"))
        elif item.get_closest_marker("object_store"):  # Ceph needs as much memory as all other services
            item.add_marker(pytest.mark.xdist_group("object_store"))
    place = {tier: number for number, tier in enumerate(tiers)}
    items.sort(key=lambda item: place.get(_tier_of(item), 0))


def pytest_collection_finish() -> None:
    """Keep modules and collected tests out of garbage collections, which took a tenth of the CPU of the tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_report_header() -> list[str]:
    if embedded.external("WAREHOUSE_DSN"):
        postgres = "given by WAREHOUSE_DSN"
    else:
        try:
            program = postgres_binaries.find_binaries(None) / "postgres"
            postgres = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        except ServiceError as error:
            postgres = str(error)
    s3 = "given by AWS_ENDPOINT_URL"
    if not embedded.external("AWS_ENDPOINT_URL"):
        s3 = f"ministack {importlib.metadata.version('ministack')}"
    return [
        f"warehouse: {postgres}",
        f"lake: {s3}",
        f"object store: {ceph_gateway.missing() or 'Ceph'}",
        f"pooler: {pgbouncer_pooler.missing() or 'PgBouncer'}",
        f"packaged Postgres: {packaged_postgres.missing() or 'available'}",
        f"docker: {_docker_missing() or 'available'}",
    ]


@functools.cache
def _docker_missing() -> str | None:
    try:
        subprocess.run(["docker", "info"], capture_output=True, check=True, timeout=20)  # noqa: S607
    except (OSError, subprocess.SubprocessError) as error:
        return f"no Docker engine answers `docker info` ({error})"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = (
        ("docker", _docker_missing),
        ("object_store", ceph_gateway.missing),
        ("pooler", pgbouncer_pooler.missing),
        ("packaged_postgres", packaged_postgres.missing),
    )
    for marker, missing in needed:
        if item.get_closest_marker(marker) and (reason := missing()):
            if os.environ.get("CI"):
                pytest.fail(f"CI is set, so the tests marked {marker} must run, but {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture
def reachable_tmp_path() -> Iterator[Path]:
    """A temporary folder that an unprivileged Postgres can read; only root can read root's `tmp_path`."""
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


@pytest.fixture(scope="session")
def own_databases(services: embedded.Services) -> Iterator[OwnDatabases]:
    databases = OwnDatabases(services)
    yield databases
    databases.close()
    if services.postgres is None:  # the folder of our own server is removed as a whole
        databases.drop()


@pytest.fixture
def database(
    request: pytest.FixtureRequest, own_databases: OwnDatabases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The DSN of this test's own database, owned by the flows' role; sets `WAREHOUSE_DSN`.

    The database is empty. For a test marked `ledger`, it holds the tables of the ledger without rows.
    """
    with own_databases.opened(with_ledger=request.node.get_closest_marker("ledger") is not None) as own:
        monkeypatch.setenv("WAREHOUSE_DSN", own)
        yield own


@pytest.fixture
def new_database(own_databases: OwnDatabases) -> Callable[[], AbstractContextManager[str]]:
    """Each call opens a further empty database and yields its DSN."""
    return own_databases.opened


@dataclass(frozen=True)
class Store:
    """An S3 server.

    Attributes:
        environment: `AWS_*` variables with the flows' key.
        administration: `AWS_*` variables with a key that may create buckets.
    """

    environment: dict[str, str] = field(repr=False)
    administration: dict[str, str] = field(repr=False)


@pytest.fixture(scope="session")
def ceph() -> Iterator[Store]:
    """Ceph's gateway; one key has all rights."""
    folder = Path(tempfile.mkdtemp(prefix="tally-test-ceph-"))
    folder.chmod(0o711)
    try:
        with ceph_gateway.ceph_gateway(folder / "ceph") as environment:
            yield Store(environment, environment)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """The S3 server of the test: the session's server, or each server in turn for a test marked `every_store`."""
    if getattr(request, "param", "session") == "ceph":
        return cast("Store", request.getfixturevalue("ceph"))
    services: embedded.Services = request.getfixturevalue("services")
    return Store(
        *(
            {name: value for name, value in variables.items() if name.startswith("AWS_")}
            for variables in (services.environment, services.administration)
        )
    )


@pytest.fixture
def lake_administrator(store: Store) -> "S3Client":
    """A client with more rights than the flows: it may create and configure buckets, and set access rules."""
    return _administrator(
        *map(store.administration.get, ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        *map(store.administration.get, ("AWS_SESSION_TOKEN", "AWS_REGION")),
    )


@functools.lru_cache(maxsize=2)
def _administrator(
    endpoint_url: str | None, key_id: str | None, secret: str | None, token: str | None, region: str | None
) -> "S3Client":
    """Cache clients, because they are slow to create."""
    return boto3.Session(key_id, secret, token, region_name=region).client("s3", endpoint_url=endpoint_url)


@pytest.fixture
def objects(store: Store, services: embedded.Services) -> Path | None:
    """The folder in which our own S3 server keeps its objects; None for another server."""
    is_own = services.s3 and store.administration["AWS_ENDPOINT_URL"] == services.s3.endpoint_url
    return services.s3.folder / "objects" if services.s3 and is_own else None


@pytest.fixture
def bucket(
    store: Store, lake_administrator: "S3Client", objects: Path | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of this test's own empty bucket; sets `LAKE_BUCKET` and `AWS_*` with the flows' key."""
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    for variable, value in store.environment.items():
        monkeypatch.setenv(variable, value)
    # A run shares its clients. Steps outside of a run would each create one, which costs more than many requests.
    monkeypatch.setattr("tasks.connections.Lake", lambda settings, clients=None: Lake(settings, clients or _clients))
    with _own_bucket(lake_administrator, objects) as name:
        monkeypatch.setenv("LAKE_BUCKET", name)
        yield name


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """New S3 clients send a request once. They would wait for seconds between the attempts of one that always fails."""
    monkeypatch.setattr("tasks.engine.lake.s3_clients.ATTEMPTS", 1)


@pytest.fixture
def new_bucket(
    bucket: str, lake_administrator: "S3Client", objects: Path | None
) -> Callable[[], AbstractContextManager[str]]:
    """Each call opens a further empty bucket and yields its name."""
    del bucket  # needed only for its variables
    return lambda: _own_bucket(lake_administrator, objects)


@contextmanager
def _own_bucket(administrator: "S3Client", objects: Path | None) -> Iterator[str]:
    name = f"test-{next(_numbers)}-{secrets.token_hex(4)}"
    administrator.create_bucket(Bucket=name)
    yield name
    if objects is None or sum(path.stat().st_size for path in objects.glob(f"*/{name}/**/*")) > LARGE_BUCKET_BYTES:
        _remove_bucket(administrator, name)


def _remove_bucket(administrator: "S3Client", name: str) -> None:
    for page in administrator.get_paginator("list_object_versions").paginate(Bucket=name):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            administrator.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
    for upload in administrator.list_multipart_uploads(Bucket=name).get("Uploads", []):
        administrator.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    administrator.delete_bucket(Bucket=name)


@pytest.fixture(scope="session")
def prefect_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The API URL of the session's own Prefect server, which flows and the `prefect` command then use."""
    from prefect_session import prefect_session  # Prefect is slow to import, and most tests do not need it

    with prefect_session(has_ui=any(_tier_of(item) == "end_to_end" for item in request.session.items)) as api_url:
        yield api_url


@pytest.fixture
def prefect_logs(prefect_server: str) -> Iterator[None]:
    """Send the log lines of runs to the session's Prefect server, which holds no lines of other tests."""
    from prefect_session import logs_on_the_server  # see above

    del prefect_server
    with logs_on_the_server():
        yield


@pytest.fixture(scope="module")
def deployments_server(prefect_server: str) -> Iterator[str]:
    """The API URL of the session's Prefect server, on which only this module registers and deploys anything."""
    from prefect_session import cleared_server  # see above

    with cleared_server():
        yield prefect_server


@pytest.fixture
def prefect_blocks(prefect_server: str) -> Iterator[None]:
    """Let a test save the project's blocks on the Prefect server. Other tests on the server find no blocks."""
    from prefect.blocks.core import Block  # Prefect is slow to import, and most tests run without it
    from prefect_aws import AwsSecret, S3Bucket
    from prefect_sqlalchemy import SqlAlchemyConnector

    del prefect_server
    yield
    saved: dict[str, type[Block]] = dict.fromkeys(catalog.sources(), AwsSecret)
    saved |= {"warehouse": SqlAlchemyConnector, "lake": S3Bucket}
    for name, block in saved.items():
        with contextlib.suppress(ValueError):
            block.delete(name)
