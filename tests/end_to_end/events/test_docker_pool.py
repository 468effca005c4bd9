"""Runs of a month in the Docker work pool: by command, by schedule, and in containers that stop during the load."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from end_to_end.docker_pool import docker, prefect, start_run, state_of, wait_for, wait_for_state
from end_to_end.events.loaded_month import DEPLOYMENT, assert_loaded_once
from events_oracle import EventsFile
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.exceptions import PrefectHTTPStatusError

from tasks.contracts.events import EVENTS
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import read_warehouse
from tasks.engine.warehouse.sessions import connect

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def container_of(run: str) -> str:
    return docker("ps", "--quiet", "--filter", f"label=io.prefect.flow-run-id={run}")


@contextmanager
def blocked_load(database: str, run: str) -> Iterator[str]:
    """Yield the container of a run that has copied its rows but cannot commit them until the block ends."""
    with psycopg.connect(database) as connection, psycopg.connect(database, autocommit=True) as observer:
        # A load writes its rejected rows after the good ones in the same transaction, and waits for this lock.
        connection.execute("lock table ledger.rejected_rows in share mode")
        waiting = "select pid from pg_locks where not granted and relation = 'ledger.rejected_rows'::regclass"
        [backend] = wait_for("a load that waits", lambda: observer.execute(waiting).fetchone())
        yield container_of(run)
        assert observer.execute("select count(*) from events_staging.events").fetchone() == (0,)
    with psycopg.connect(database, autocommit=True) as observer:
        wait_for(
            "the end of the load's connection",
            lambda: not observer.execute("select 1 from pg_stat_activity where pid = %s", [backend]).fetchone(),
        )


def prepare(database: str) -> None:
    """Create the tables, so that a test can lock one before the run starts."""
    with connect(read_warehouse({"WAREHOUSE_DSN": database}, dict), "test") as connection:
        apply_ddl(connection, [EVENTS], ["events_marts"])


def test_deployment_schedules_a_run_on_the_next_first_of_the_month(worker_log: Path) -> None:
    named = DeploymentFilter(name=DeploymentFilterName(any_=["events-monthly"]))
    with get_client(sync_client=True) as client:
        runs = wait_for(
            "a run made by the schedule",
            lambda: [run for run in client.read_flow_runs(deployment_filter=named) if run.auto_scheduled],
        )
    starts = [run.expected_start_time for run in runs]
    assert all(start and (start.day, start.hour, start.minute) == (1, 10, 0) for start in starts), starts


def test_invalid_month_is_rejected_before_a_container_starts(month: tuple[str, EventsFile]) -> None:
    with pytest.raises(PrefectHTTPStatusError, match="2021-13"):
        start_run(DEPLOYMENT, month="2021-13")


def test_run_is_rescheduled_and_completes_after_its_container_was_stopped_during_the_load(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    prepare(database)
    run = start_run(DEPLOYMENT, month=name)
    with blocked_load(database, run) as container:
        docker("stop", container)  # if Docker had to kill it after ten seconds, the run would stay Crashed
        assert state_of(run) in {"AwaitingRetry", "Pending", "Submitting", "Running"}
    wait_for_state(run, "Completed", attempts=2)
    assert_loaded_once(database, expected)


def test_run_from_the_command_line_loads_the_month_once_after_a_container_was_killed_during_the_load(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    prepare(database)
    run = start_run(DEPLOYMENT, month=name)
    with blocked_load(database, run) as container:
        docker("kill", container)
        wait_for("the container's end", lambda: not container_of(run))
    # The worker marks the run as Crashed, unless Docker has already removed the container. In that case the automation
    # for missing heartbeats does so later.
    assert state_of(run) in {"Running", "Crashed"}
    watched = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={name}", "--watch", "--watch-interval", "1")
    assert "finished successfully in 'Completed'" in watched
    assert_loaded_once(database, expected)
