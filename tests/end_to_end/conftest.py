"""The image, the deployments and the Docker worker that all end-to-end tests share, and the marker `browser`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
OFFLINE_BASE = "tally-base:bookworm"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: requires Chromium; without it, skipped, or failed if CI is set")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not any(map(shutil.which, CHROMIUM)):
        reason = f"found none of {', '.join(CHROMIUM)} on PATH"
        if os.environ.get("CI"):
            pytest.fail(f"CI is set, so the browser tests must run, but {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    return next(filter(None, map(shutil.which, CHROMIUM)))


@pytest.fixture(scope="package")
def prefect_server(prefect_server: str) -> Iterator[str]:
    """The API URL of the session's server. The tests of this folder share its blocks, deployments and schedules."""
    from prefect_session import cleared_server  # Prefect is slow to import, and the marker needs none of it

    with cleared_server():
        yield prefect_server


@pytest.fixture(scope="package")
def worker_log(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the image, deploy all flows and run a Docker worker without access to the warehouse and the lake."""
    from deployments import register
    from deployments.local import prefect_services
    from end_to_end.docker_pool import docker

    # The worker passes its Prefect settings to the containers, which do not have the certificates of this process.
    left_out = ("AWS_", "WAREHOUSE_", "PREFECT_API_SSL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    if not environment.get("BASE_IMAGE") and docker("images", "--quiet", OFFLINE_BASE):
        environment["BASE_IMAGE"] = OFFLINE_BASE
    register.register("docker", environment)
    register.deploy("docker", environment)
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    with prefect_services.worker("tally-docker", "docker", environment=environment | quick, log=log):
        yield log
