"""The doctor's checks of the image, and of what a container of it reaches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker as docker_sdk
import pytest
from doctor_findings import only
from prefect.client.orchestration import get_client

from deployments.container_probe import Probe, check_image, examine_containers, examine_pool
from end_to_end.docker_pool import docker
from tasks.doctor.deployed import image_of
from tasks.doctor.reach import AREA
from tasks.doctor.server import Server, wanted_config
from tasks.engine.doctor.outcomes import Result

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.usefixtures("worker_log")]


@pytest.fixture
def probe() -> Iterator[Probe]:
    """The deployed pool with its image."""
    engine = docker_sdk.from_env()
    with get_client(sync_client=True) as client:
        server = Server(client, wanted_config())
        yield Probe(server.pools["tally-docker"], str(image_of(server.config)), engine)
    engine.close()


def outcomes(results: list[Result]) -> dict[str, str]:
    return {each.check: each.finding.outcome for each in results if each.area == AREA}


def test_deployed_image_has_the_code_and_a_container_reaches_the_server() -> None:
    with get_client(sync_client=True) as client:
        found = outcomes(examine_containers(Server(client, wanted_config())))
    assert found["image"] == found["code of the image"] == "ok"
    assert found["Prefect server"] == "ok"


def test_image_that_does_not_exist_is_a_problem(probe: Probe) -> None:
    lacking = replace(probe, image="tally:does-not-exist")
    assert "make deploy" in only(check_image(lacking), "problem").next_step
    assert outcomes(examine_pool(lacking)) == {"image": "problem"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("echo '# changed' >> /opt/tally/flows/plan.py", "contains other code", id="other-code"),
        pytest.param("rm -r /opt/tally/tasks/doctor", "cannot run the check", id="no-doctor"),
    ],
)
def test_image_with_other_code_is_a_problem(probe: Probe, tmp_path: Path, command: str, words: str) -> None:
    image = f"tally-doctor-test:{tmp_path.name.replace('_', '-').lower()}"
    (tmp_path / "Dockerfile").write_text(f"FROM {probe.image}\nUSER root\nRUN {command}\nUSER 10001:10001\n")
    docker("build", "--quiet", "--tag", image, str(tmp_path))
    try:
        results = examine_pool(replace(probe, image=image))
    finally:
        docker("image", "rm", "--force", image)
    (found,) = [each.finding for each in results if each.check == "code of the image"]
    assert found.outcome == "problem"
    assert words in found.found
