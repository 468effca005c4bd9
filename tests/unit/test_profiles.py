"""Profiles: `make PROFILE=<name> <target>` gives a command the variables of `deployments/<name>.env`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deployments" / ".env.example"
PRINT = "import json, os; print(json.dumps(dict(os.environ)))"


def printed(*command: str) -> str:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("target", ["deploy", "doctor", "explain", "status", "worker"])
def test_profile_gives_the_command_its_variables(target: str) -> None:
    line = printed("make", "--dry-run", "PROFILE=production", target).splitlines()[-1]
    assert line.startswith(".venv/bin/dotenv --file deployments/production.env run -- .venv/bin/")
    assert "dotenv" not in printed("make", "--dry-run", target)


def test_command_and_shell_read_the_same_values(tmp_path: Path) -> None:
    file = tmp_path / "production.env"
    file.write_text(EXAMPLE.read_text())
    program = Path(sys.executable).with_name("dotenv")
    given = json.loads(printed(str(program), "--file", str(file), "run", "--", sys.executable, "-c", PRINT))
    sourced = json.loads(printed("sh", "-c", f"set -a; . {file}; exec {sys.executable} -c '{PRINT}'"))
    names = {line.split("=")[0] for line in EXAMPLE.read_text().splitlines() if line[:1].isupper()}
    assert {"WAREHOUSE_DSN", "LAKE_BUCKET", "PREFECT_API_URL"} <= names
    assert {name: given[name] for name in names} == {name: sourced[name] for name in names}
