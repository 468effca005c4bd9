"""Whoever deploys or starts a run learns at once that no worker of the pool is online."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate

from deployments.run import command_of, main

pytestmark = pytest.mark.usefixtures("prefect_server")

POOL = "waiting-process"


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def pool(client: SyncPrefectClient) -> Iterator[str]:
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    yield POOL
    client.delete_work_pool(POOL)


@pytest.fixture
def deployment(client: SyncPrefectClient, pool: str) -> Iterator[UUID]:
    created = client.create_deployment(client.create_flow_from_name("probe"), "waiting", work_pool_name=pool)
    yield created
    client.delete_deployment(created)


@pytest.mark.usefixtures("deployment")
def test_the_run_command_warns_and_runs_the_deployment(client: SyncPrefectClient) -> None:
    command, warning = command_of(client, "waiting")
    assert command[-4:] == ["deployment", "run", "probe/waiting", "--watch"]
    assert "No worker of pool waiting-process is alive" in warning
    assert "prefect worker start --pool waiting-process" in warning


@pytest.mark.usefixtures("deployment")
def test_the_run_command_does_not_warn_of_a_pool_with_a_live_worker(client: SyncPrefectClient, pool: str) -> None:
    client.send_worker_heartbeat(pool, "worker", heartbeat_interval_seconds=30)
    assert command_of(client, "waiting")[1] == ""


def test_an_unknown_deployment_is_refused_with_the_known_names(client: SyncPrefectClient, deployment: UUID) -> None:
    del deployment
    with pytest.raises(SystemExit, match=r"expected the name of a deployment: .*waiting.*found missing"):
        command_of(client, "missing")


def test_a_call_without_a_name_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--watch"]) == 2
    assert "usage: python -m deployments.run" in capsys.readouterr().err
