import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MARKERS = ("docker", "object_store", "pooler")
TEST = "@pytest.mark.{marker}\ndef test_of_{marker}(): pass\n"


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "outcome"), [({}, "SKIPPED"), ({"CI": "true"}, "ERROR")], ids=["here", "in ci"])
def test_test_without_the_service_of_its_marker_is_skipped_but_fails_in_ci(
    tmp_path: Path, ci: dict[str, str], outcome: str
) -> None:
    support = ("ceph_gateway.py", "own_databases.py", "packaged_postgres.py", "pgbouncer_pooler.py", "tls.py")
    for name in ("conftest.py", *(f"support/{file}" for file in support)):
        shutil.copy(TESTS / name, tmp_path)
    tests = (TEST.format(marker=marker) for marker in MARKERS)
    (tmp_path / "test_marked.py").write_text("\n\n".join(("import pytest", *tests)))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), **ci},
        capture_output=True,
        text=True,
        check=False,
    )
    for marker in MARKERS:
        assert f"test_marked.py::test_of_{marker} {outcome}" in ran.stdout
    assert f"{len(MARKERS)} {outcome.lower()}" in ran.stdout
    assert (ran.returncode != 0) == bool(ci)
