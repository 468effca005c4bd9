"""Functions that the tests of the Docker work pool share: they inspect runs and containers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client

from deployments import lint
from deployments.register import ROOT
from tasks.contracts import catalog

TIMEOUT = 240.0
"""Timeout in seconds for operations that take a few seconds on an idle machine."""

PASSED_ON = ("WAREHOUSE_DSN", "LAKE_BUCKET", "AWS_", "PREFECT_API_URL", "MAX_REJECTED_ROWS")
"""Beginnings of the variables that a container takes over, besides those of the pipelines."""

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
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_in_image(code: str, limit: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a container of the deployed image, on this machine's network."""
    [[step]] = [build.values() for build in lint.load(ROOT / "prefect.yaml")["build"]]
    # Docker reads the values from the environment: every user of the machine can read the arguments of a command.
    named = [
        part for name in os.environ if name.startswith((*PASSED_ON, *catalog.settings())) for part in ("--env", name)
    ]
    limits = ["--memory", limit, "--memory-swap", limit]
    command = ["docker", "run", "--rm", "--network", "host", *limits, *named, f"{step['image_name']}:{step['tag']}"]
    return subprocess.run([*command, "python", "-c", code], capture_output=True, text=True, check=False, timeout=300)


def wait_for(event: str, check: Callable[[], T | None], seconds: float = TIMEOUT) -> T:
    """Repeat `check` until it returns a true value, and return that value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s for {event}")


def start_run(deployment: str, **parameters: str) -> str:
    """Start a run of a deployment without waiting for its end, and return its id."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return str(client.create_flow_run_from_deployment(found.id, parameters=parameters).id)


def wait_for_state(run: str, *names: str, attempts: int = 1) -> None:
    """Wait until a run is in one of the named states after the given number of attempts."""
    with get_client(sync_client=True) as client:  # one client, because each one is slow to create
        wanted = [(name, attempts) for name in names]
        wait_for(f"run {run} in state {' or '.join(names)}", lambda: _state_of(client, run) in wanted)


def state_of(run: str) -> str:
    """Return the name of a run's state."""
    with get_client(sync_client=True) as client:
        return _state_of(client, run)[0]


def _state_of(client: SyncPrefectClient, run: str) -> tuple[str, int]:
    found = client.read_flow_run(UUID(run))
    assert found.state
    return found.state.name or "", found.run_count
