"""The whole way on a real Docker work pool: image, server, worker, deployments; and containers stopped in mid-load."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psycopg
import pytest
from events_oracle import EventsFile, read_events
from psycopg.conninfo import conninfo_to_dict

from deployments import prefect_services, register
from deployments.sample_events import events_csv, object_key
from tasks.contracts.events import EVENTS
from tasks.engine.sql_files import apply_ddl

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

DEPLOYMENT = "events-monthly/events-monthly"
OFFLINE_BASE = "tally-base:bookworm"

T = TypeVar("T")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)  # noqa: S607
    return done.stdout.strip()


def prefect(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 120) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not seen within {seconds:.0f} s")


@pytest.fixture(scope="module")
def worker_log(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image is built, everything deployed, and a Docker worker runs; it knows neither warehouse nor lake."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WAREHOUSE_"))}
    if not environment.get("BASE_IMAGE") and docker("images", "--quiet", OFFLINE_BASE):
        environment["BASE_IMAGE"] = OFFLINE_BASE
    register.register("docker", environment)
    register.deploy("docker", environment)
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    with prefect_services.worker("tally-docker", "docker", environment=environment | quick, log=log):
        yield log


@pytest.fixture
def month(
    worker_log: Path, database: str, bucket: str, lake_administrator: "S3Client"
) -> Iterator[tuple[str, EventsFile]]:
    """A month that lies in the lake, and what an independent reading of it says. Runs find both through the blocks."""
    register.register("docker", os.environ)
    data = b"".join(events_csv("2021-02", 3_000, bad_rows=7))
    lake_administrator.put_object(Bucket=bucket, Key=object_key("", "2021-02"), Body=data)
    yield "2021-02", read_events(data)
    ours = ("--filter", "label=io.prefect.deployment-name=events-monthly")
    wait_for("the end of every container", lambda: not docker("ps", "--all", "--quiet", *ours), 20)
    log = worker_log.read_text()
    assert str(conninfo_to_dict(database)["password"]) not in log
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in log


def start_run(month: str) -> str:
    """Start a run without waiting for it; returns its id."""
    said = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={month}")
    found = re.search(r"UUID: (\S+)", said)
    assert found, said
    return found[1]


def state_of(run: str) -> tuple[str, int]:
    """Name of a run's state, and how often it ran."""
    from uuid import UUID

    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_flow_run(UUID(run))
    assert found.state
    return found.state.name or "", found.run_count


def container_of(run: str) -> str:
    return docker("ps", "--quiet", "--filter", f"label=io.prefect.flow-run-id={run}")


@contextmanager
def caught_in_mid_load(database: str, run: str) -> Iterator[str]:
    """The container of a run that has copied its rows and cannot commit them while the block lasts."""
    with psycopg.connect(database) as connection, psycopg.connect(database, autocommit=True) as onlooker:
        # A load writes its rejected rows after the good ones, in the same transaction: there it waits for us.
        connection.execute("lock table ledger.rejected_rows in share mode")
        waiting = "select pid from pg_locks where not granted and relation = 'ledger.rejected_rows'::regclass"
        [backend] = wait_for("a load that waits", lambda: onlooker.execute(waiting).fetchone())
        yield container_of(run)
        assert onlooker.execute("select count(*) from events_staging.events").fetchone() == (0,)
    with psycopg.connect(database, autocommit=True) as onlooker:
        wait_for(
            "the end of the dead load's connection",
            lambda: not onlooker.execute("select 1 from pg_stat_activity where pid = %s", [backend]).fetchone(),
        )


def assert_loaded_once(database: str, expected: EventsFile) -> None:
    with psycopg.connect(database) as connection:
        loads = connection.execute("select status, rows_read, rows_loaded, rows_rejected from ledger.loads").fetchall()
        assert loads == [("loaded", expected.rows_read, expected.rows_loaded, len(expected.rejected))]
        ids = connection.execute("select id from events_staging.events").fetchall()
        assert sorted(row[0] for row in ids) == sorted(row.id for row in expected.rows)
        rejected = connection.execute("select line_number, column_name from ledger.rejected_rows order by 1").fetchall()
        assert rejected == [(row.line_number, row.column) for row in expected.rejected]
        for group in ("country", "user", "company", "date", "tag"):
            column = {"user": "email", "date": "event_date::text"}.get(group, group)
            mart = connection.execute(f"select {column}, event_count from events_marts.event_counts_by_{group}")
            assert dict(mart.fetchall()) == dict(expected.counts(group)), group


def test_month_is_loaded_by_a_container_when_run_from_the_command_line(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    watched = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={name}", "--watch")
    assert "finished successfully in 'Completed'" in watched
    assert_loaded_once(database, expected)


def test_next_first_of_the_month_is_scheduled_when_deployed(worker_log: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    named = DeploymentFilter(name=DeploymentFilterName(any_=["events-monthly"]))
    with get_client(sync_client=True) as client:
        runs = wait_for(
            "a run made by the schedule",
            lambda: [run for run in client.read_flow_runs(deployment_filter=named) if run.auto_scheduled],
        )
    starts = [run.expected_start_time for run in runs]
    assert all(start and (start.day, start.hour, start.minute) == (1, 10, 0) for start in starts), starts


def test_month_is_refused_before_any_container_starts_when_it_is_no_month(month: tuple[str, EventsFile]) -> None:
    with pytest.raises(AssertionError, match="2021-13"):
        start_run("2021-13")


def test_same_run_is_scheduled_again_and_completes_when_its_container_is_stopped_in_mid_load(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    prepare(database)
    run = start_run(name)
    with caught_in_mid_load(database, run) as container:
        started = time.monotonic()
        docker("stop", container)
        assert time.monotonic() - started < 9  # seconds; docker kills after 10
        assert state_of(run)[0] in {"AwaitingRetry", "Pending", "Submitting", "Running"}
    wait_for("the second attempt's end", lambda: state_of(run) == ("Completed", 2))
    assert_loaded_once(database, expected)


def test_new_run_loads_the_month_exactly_when_a_container_was_killed_in_mid_load(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    prepare(database)
    run = start_run(name)
    with caught_in_mid_load(database, run) as container:
        docker("kill", container)
        wait_for("the worker's report", lambda: state_of(run) == ("Crashed", 1))
    watched = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={name}", "--watch")
    assert "finished successfully in 'Completed'" in watched
    assert_loaded_once(database, expected)


def prepare(database: str) -> None:
    """Make the tables, so that one can be locked before the run begins."""
    with psycopg.connect(database, autocommit=True) as connection:
        apply_ddl(connection, [EVENTS], ["events_staging", "events_marts"])
