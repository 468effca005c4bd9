"""Check docker-compose.yaml and .env.example against the locked versions, the settings and each other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import lint
from deployments.local.prefect_services import BATCHED_WRITES
from deployments.work_pools import POOLS
from tasks.contracts import catalog
from tasks.engine.settings import RunSettings

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1:"


@pytest.fixture
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "deployments/docker-compose.yaml").read_text())["services"]
    return services


@pytest.fixture
def example() -> dict[str, str]:
    """The variables of .env.example, including the ones that are commented out."""
    lines = (ROOT / "deployments/.env.example").read_text().splitlines()
    return dict(match.groups() for line in lines if (match := re.fullmatch(r"#?([A-Z][A-Z_0-9]*)=(\S*)", line)))


def test_worker_uses_the_deployed_image(services: dict[str, Any]) -> None:
    [step] = lint.load(ROOT / "prefect.yaml")["build"]
    built = step["prefect_docker.deployments.steps.build_docker_image"]
    assert services["worker"]["image"] == f"{built['image_name']}:{built['tag']}"
    assert POOLS["docker"] in services["worker"]["command"]


def test_server_writes_as_the_servers_of_make_up_do(services: dict[str, Any]) -> None:
    environment = services["prefect"]["environment"]
    assert {name: value for name, value in environment.items() if name in BATCHED_WRITES} == BATCHED_WRITES


def test_server_has_the_locked_version(services: dict[str, Any]) -> None:
    locked = re.search(r"^prefect==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert services["prefect"]["image"].startswith(f"prefecthq/prefect:{locked[1]}-")


def test_every_service_has_a_health_check_and_a_pinned_image(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert re.search(r":\d[\w.-]*$", service["image"]), name


def test_ports_are_published_on_the_loopback_interface_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith(LOOPBACK) for port in ports)


def test_example_contains_every_variable_of_the_compose_file(example: dict[str, str]) -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "deployments/docker-compose.yaml").read_text()))
    assert used <= example.keys()


def test_example_contains_every_setting_with_its_default(example: dict[str, str]) -> None:
    defaults = {name.upper(): str(field.default) for name, field in RunSettings.model_fields.items()}
    # One comment of the file describes the variables whose names derive from datasets. It may list some of them.
    defaults |= {
        name: setting.default
        for name, setting in catalog.settings().items()
        if name in example or not setting.is_derived
    }
    assert {name: example.get(name) for name in defaults} == defaults


def test_example_contains_every_setting_of_the_work_pools(example: dict[str, str]) -> None:
    for file in (ROOT / "deployments/pools").glob("*.yaml"):
        assert yaml.safe_load(file.read_text())["settings"].keys() <= example.keys(), file.name


def test_example_names_the_network_of_the_compose_file(example: dict[str, str]) -> None:
    networks = yaml.safe_load((ROOT / "deployments/docker-compose.yaml").read_text())["networks"]
    assert example["TALLY_NETWORKS"] == networks["tally"]["name"]


def test_example_has_a_different_password_for_each_purpose(example: dict[str, str]) -> None:
    assert example["WAREHOUSE_PASSWORD"] in example["WAREHOUSE_DSN"]
    passwords = [example[name] for name in ("POSTGRES_PASSWORD", "WAREHOUSE_PASSWORD", "PREFECT_DB_PASSWORD")]
    assert len(set(passwords)) == len(passwords)
