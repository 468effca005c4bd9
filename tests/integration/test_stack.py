import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.local import stack
from deployments.local.prefect_services import PROJECT


def _stack(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does. It returns because the supervisor does not inherit the output pipes."""
    return subprocess.run(
        [sys.executable, "-m", "deployments.local.stack", command],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name not in ("WAREHOUSE_DSN", "AWS_ENDPOINT_URL")}
        | {"TALLY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture
def home(reachable_tmp_path: Path) -> Iterator[Path]:
    folder = reachable_tmp_path / "home"
    yield folder
    _stack("down", folder)


def test_stack_starts_serves_a_shell_and_stops_with_its_supervisor(home: Path) -> None:
    up = _stack("up", home)
    assert up.returncode == 0, up.stdout + up.stderr
    supervisor = stack.Stack(home).process_id
    assert f"Tally is up (process {supervisor})" in up.stdout
    assert "Already up" in _stack("up", home).stdout

    sourced = home / "env"
    assert sourced.stat().st_mode & 0o777 == 0o600
    prefect = Path(sys.executable).with_name("prefect")
    connect = "import os, psycopg; print(psycopg.connect(os.environ['WAREHOUSE_DSN']))"
    shown = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'. {sourced} && {prefect} work-pool inspect tally-process && {sys.executable} -c "{connect}"',
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
    ).stdout
    assert "tally-process" in shown
    assert "database=tally" in shown

    children = _children(supervisor)
    assert len(children) == 5
    os.kill(supervisor or 0, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(_runs(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if _runs(child)]
    status = _stack("status", home)
    assert (status.returncode, "Tally is down" in status.stdout) == (1, True)
    assert _stack("down", home).stdout == "Tally was not up.\n"


def _children(process: int | None) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if re.search(rf"^PPid:\s+{process}$", status.read_text(), re.MULTILINE):
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
