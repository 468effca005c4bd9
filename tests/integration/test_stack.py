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
def home(reachable_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = reachable_tmp_path / "home"
    monkeypatch.setenv("TALLY_HOME", str(folder))
    yield folder
    stack.main(["down"])


def test_stack_starts_serves_a_shell_and_stops_with_its_supervisor(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    up = _stack("up", home)
    assert up.returncode == 0, up.stdout + up.stderr
    supervisor = stack.Stack(home).process_id
    assert f"Tally is up (process {supervisor})" in up.stdout
    assert ("Sample files: make demo" in up.stdout) == bool(stack.find_samples())
    assert stack.main(["up"]) == 0
    assert "Already up" in capsys.readouterr().out

    sourced = home / "env"
    assert sourced.stat().st_mode & 0o777 == 0o600
    connect = (
        "import os, psycopg, urllib.request as u; print(psycopg.connect(os.environ['WAREHOUSE_DSN']),"
        " u.urlopen(os.environ['PREFECT_API_URL'] + '/work_pools/tally-process').read())"
    )
    shown = subprocess.run(
        ["/bin/sh", "-c", f'. {sourced} && {sys.executable} -c "{connect}"'],
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
    assert stack.main(["status"]) == 1
    assert "Tally is down" in capsys.readouterr().out
    assert stack.main(["down"]) == 0
    assert capsys.readouterr().out == "Tally was not up.\n"


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
