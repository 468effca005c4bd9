"""Check the image, and what a container of it reaches: a throw-away container runs the same checks as the doctor."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import ContainerError, DockerException, ImageNotFound
from prefect.client.schemas.objects import WorkPool
from prefect.settings import get_current_settings

from tasks.doctor.deployed import image_of
from tasks.doctor.reach import AREA, code_digest
from tasks.doctor.server import DEPLOY, Server
from tasks.engine.doctor.outcomes import Check, Finding, Result, all_skipped, examine, ok, problem, skipped
from tasks.engine.quoting import printable

DOCKER = "docker"
PROBE = ("python", "-m", "tasks.doctor.reach")
LOCALHOST = ("localhost", "127.0.0.1")
HOST = "host.docker.internal"
_ERROR_LIMIT = 1_000


@dataclass(frozen=True)
class Probe:
    """A container pool and its image.

    Attributes:
        pool: The work pool.
        image: Name and tag of the image.
        engine: A client of the Docker Engine of this machine.
    """

    pool: WorkPool
    image: str
    engine: docker.DockerClient


def examine_containers(server: Server) -> list[Result]:
    """Check the image and the addresses of each Docker pool that has deployments."""
    checks = (Check("image", check_image),)
    pools = [server.pools[name] for name in server.pool_names if name in server.pools]
    pools = [pool for pool in pools if pool.type == DOCKER]
    image = image_of(server.config)
    if not pools or image is None:
        return all_skipped(AREA, checks, "no deployment runs in Docker containers")
    try:
        engine = docker.from_env()
        engine.ping()
    except DockerException as error:
        step = "Run the doctor on a machine that starts containers, or start its Docker Engine"
        reason = f"no Docker Engine answers on this machine: {printable(str(error), _ERROR_LIMIT)}"
        return [Result(AREA, "image", skipped(reason, step))]
    with contextlib.closing(engine):
        return [result for pool in pools for result in examine_pool(Probe(pool, image, engine))]


def examine_pool(probe: Probe) -> list[Result]:
    """Check the image of one pool, its code, and what a container of it reaches."""
    results = examine(AREA, (Check("image", check_image),), probe)
    if results[0].finding.outcome != "ok":
        return results
    try:
        answer = json.loads(run_probe(probe))
    except (DockerException, ValueError) as error:
        return [*results, Result(AREA, "code of the image", _outdated(probe, error))]
    found: Check[Probe] = Check("code of the image", lambda _: compare_code(probe.image, answer["code"]))
    rows = [Result(each["area"], each["check"], Finding(**each["finding"])) for each in answer["results"]]
    return [*results, *examine(AREA, (found,), probe), *rows]


def check_image(probe: Probe) -> Iterator[Finding]:
    """The image exists on this machine."""
    try:
        found = probe.engine.images.get(probe.image)
    except ImageNotFound:
        yield problem(
            f"image {probe.image} does not exist on this machine",
            "the image: a worker on this machine cannot start a run without it",
            DEPLOY,
        )
    else:
        yield ok(f"image {probe.image} exists, {found.attrs['Size'] / 1e6:.0f} MB")


def compare_code(image: str, digest: str) -> Iterator[Finding]:
    """The image contains the code of this folder."""
    if digest == code_digest():
        yield ok(f"image {image} contains the code of this folder")
    else:
        yield problem(
            f"image {image} contains other code than this folder: runs use the code of the image",
            "the same code",
            DEPLOY,
        )


def _outdated(probe: Probe, error: Exception) -> Finding:
    text = error.stderr.decode(errors="replace") if isinstance(error, ContainerError) else str(error)
    return problem(
        f"a container of {probe.image} cannot run the check: {printable(text.strip()[-_ERROR_LIMIT:], _ERROR_LIMIT)}",
        "an image with the code of this folder",
        DEPLOY,
    )


def run_probe(probe: Probe) -> bytes:
    """Run the checks in a container that gets the same network and server address as a run.

    Raises:
        ContainerError: The container ended with an error.
    """
    url = str(get_current_settings().api.url)
    environment = {
        name: value for name in ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY") if (value := os.environ.get(name))
    }
    options: dict[str, Any] = {}
    networks = _default(probe.pool, "networks") or []
    if networks:
        options["network"] = networks[0]
    elif sys.platform == "linux" and urlsplit(url).hostname in LOCALHOST:
        options["network_mode"] = "host"
    if options.get("network_mode") != "host":
        options["extra_hosts"] = {HOST: "host-gateway"}
        for name in LOCALHOST:
            url = url.replace(f"//{name}", f"//{HOST}")
    environment |= _settings(_default(probe.pool, "env") or {}) | {"PREFECT_API_URL": url}
    answer: bytes = probe.engine.containers.run(
        probe.image, list(PROBE), environment=environment, remove=True, stdout=True, stderr=False, **options
    )
    return answer


def _default(pool: WorkPool, variable: str) -> Any:
    variables: Mapping[str, Any] = pool.base_job_template.get("variables", {}).get("properties", {})
    return variables.get(variable, {}).get("default")


def _settings(env: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in env.items() if value is not None}
