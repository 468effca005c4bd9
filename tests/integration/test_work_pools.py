"""The registration of the work pools of clusters on a real Prefect server."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect_session import cleared_server

from deployments import lint, register
from deployments.work_pools import POOLS, Pool

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example.com/tally:1.0"
ARN = "arn:aws:iam::123456789012:role"
CLUSTER = {
    "TALLY_IMAGE": IMAGE,
    "LAKE_BUCKET": "lake",
    "WAREHOUSE_DSN": "postgresql://tally:hunter2@db/tally",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "TALLY_ECS_CLUSTER": "tally",
    "TALLY_ECS_SUBNETS": "subnet-1",
    "TALLY_ECS_SECURITY_GROUPS": "sg-1",
    "TALLY_ECS_TASK_ROLE": f"{ARN}/run",
    "TALLY_ECS_EXECUTION_ROLE": f"{ARN}/start",
    "TALLY_ECS_WAREHOUSE_SECRET": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:warehouse",
    "TALLY_ECS_LOG_GROUP": "/tally",
}

# The tests share a Prefect server with deployments. On a busy machine, Prefect needs a minute to deploy all flows.
pytestmark = [pytest.mark.xdist_group("work_pools"), pytest.mark.timeout(900)]


def without_services() -> dict[str, str]:
    names = ("AWS_", "WAREHOUSE_", "LAKE_", "TALLY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}


@pytest.fixture
def empty_server(prefect_server: str) -> Iterator[None]:
    """The session's Prefect server without pools and deployments of another test."""
    del prefect_server
    with cleared_server():
        yield


@pytest.mark.usefixtures("empty_server")
@pytest.mark.parametrize("pool", ["kubernetes", "ecs"])
def test_pool_of_a_cluster_is_registered_twice_with_the_same_result(pool: Pool) -> None:
    environ = without_services() | CLUSTER
    assert f"work pool {POOLS[pool]}: created" in register.register(pool, environ)
    with get_client(sync_client=True) as client:
        template = client.read_work_pool(POOLS[pool]).base_job_template
        assert f"work pool {POOLS[pool]}: up to date" in register.register(pool, environ)
        assert client.read_work_pool(POOLS[pool]).base_job_template == template
        assert client.read_block_documents() == []
        assert "hunter2" not in str(template)


@pytest.mark.usefixtures("empty_server")
def test_all_flows_are_deployed_to_the_pool_of_a_cluster() -> None:
    pool: Pool = "kubernetes"
    environ = without_services() | CLUSTER
    register.register(pool, environ)
    register.deploy(pool, environ)
    with get_client(sync_client=True) as client:
        found = client.read_deployments()
    wanted = lint.load(ROOT / "prefect.yaml")["deployments"]
    assert {one.name for one in found} == {one["name"] for one in wanted}
    assert {(one.work_pool_name, one.job_variables["image"]) for one in found} == {(POOLS[pool], IMAGE)}
    assert sum(len(one.schedules) for one in found) == sum(len(one.get("schedules", [])) for one in wanted)


@pytest.mark.usefixtures("empty_server")
@pytest.mark.parametrize(
    ("pool", "missing", "expected"),
    [
        ("ecs", ["TALLY_ECS_CLUSTER", "TALLY_ECS_LOG_GROUP"], "expected TALLY_ECS_CLUSTER, TALLY_ECS_LOG_GROUP in "),
        ("kubernetes", ["TALLY_IMAGE"], "expected TALLY_IMAGE in the environment, found none"),
    ],
)
def test_command_names_the_missing_settings_of_a_pool(
    monkeypatch: pytest.MonkeyPatch, pool: Pool, missing: list[str], expected: str
) -> None:
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, "" if name in missing else value)
    monkeypatch.setattr(sys, "argv", ["register", "--pool", pool, "--deploy"])
    with pytest.raises(SystemExit, match=f"^{expected}"):
        register.main()
