"""The whole way on a real Docker work pool: image, server, worker, deployments; and containers stopped in mid-load."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from events_oracle import EventsFile
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.schedules import CronSchedule

from deployments import lint
from deployments.register import ROOT
from end_to_end.docker_pool import DEPLOYMENT, assert_loaded_once, docker, prefect, state_of, wait_for
from tasks.contracts.events import EVENTS
from tasks.engine.ddl import apply_ddl

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PREFECT_YAML = lint.load(ROOT / "prefect.yaml")


def start_run(month: str) -> str:
    """Start a run without waiting for it; returns its id."""
    said = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={month}")
    found = re.findall(r"UUID: (\S+)", said)
    assert len(found) == 1, said
    return str(found[0])


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


def prepare(database: str) -> None:
    """Make the tables, so that one can be locked before the run begins."""
    with psycopg.connect(database, autocommit=True) as connection:
        apply_ddl(connection, [EVENTS], ["events_staging", "events_marts"])


def test_month_is_loaded_by_a_container_when_run_from_the_command_line(
    month: tuple[str, EventsFile], database: str
) -> None:
    name, expected = month
    watched = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={name}", "--watch")
    assert "finished successfully in 'Completed'" in watched
    assert_loaded_once(database, expected)


@pytest.mark.usefixtures("worker_log")
@pytest.mark.parametrize("wanted", PREFECT_YAML["deployments"], ids=lambda wanted: wanted["name"])
def test_deployment_is_on_the_server_as_the_file_says(wanted: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{lint.flow_of(wanted).name}/{wanted['name']}")
    schedules = [
        {"cron": on.schedule.cron, "timezone": on.schedule.timezone, "slug": on.slug}
        for on in found.schedules
        if on.active and isinstance(on.schedule, CronSchedule)
    ]
    assert schedules == wanted.get("schedules", [])
    assert len(schedules) == len(found.schedules)
    assert found.parameters == wanted["parameters"]
    assert found.enforce_parameter_schema
    assert not found.paused
    limit = wanted.get("concurrency_limit", {}).get("limit")
    assert (found.global_concurrency_limit.limit if found.global_concurrency_limit else None) == limit
    variables = wanted["work_pool"]["job_variables"]
    [[step]] = [build.values() for build in PREFECT_YAML["build"]]
    assert found.job_variables == variables | {"image": f"{step['image_name']}:{step['tag']}"}


def test_next_first_of_the_month_is_scheduled_when_deployed(worker_log: Path) -> None:
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
        docker("stop", container)  # were it killed, after Docker's ten seconds, the run would be Crashed for good
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
        wait_for("the container's end", lambda: not container_of(run))
    # The worker reports it, unless Docker removed the container before it looked: then the heartbeats' automation does.
    assert state_of(run)[0] in {"Running", "Crashed"}
    watched = prefect("deployment", "run", DEPLOYMENT, "-p", f"month={name}", "--watch")
    assert "finished successfully in 'Completed'" in watched
    assert_loaded_once(database, expected)
