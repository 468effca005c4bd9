"""Tests of one `xdist_group` run in one process, so that they share its services."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import os, pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_process(number, record_property):
    record_property("process", os.environ["PYTEST_XDIST_WORKER"])
"""


def test_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_group.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]
    subprocess.run(
        [*command, "-p", "no:cacheprovider", "--rootdir", tmp_path, "--junitxml", "found.xml", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    found = (tmp_path / "found.xml").read_text()
    assert {found.count(f'value="gw{number}"') for number in (0, 1)} == {0, 8}
