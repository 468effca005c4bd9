import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TEST = "import pytest\n\n@pytest.mark.{marker}\ndef test_engine(): pass\n"


@pytest.mark.slow
@pytest.mark.parametrize("marker", ["docker", "object_store", "pooler"])
@pytest.mark.parametrize(("ci", "outcome"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_test_without_the_service_of_its_marker_is_skipped_but_fails_in_ci(
    tmp_path: Path, marker: str, ci: dict[str, str], outcome: str
) -> None:
    support = ("ceph_gateway.py", "own_databases.py", "packaged_postgres.py", "pgbouncer_pooler.py", "tls.py")
    for name in ("conftest.py", *(f"support/{file}" for file in support)):
        shutil.copy(TESTS / name, tmp_path)
    (tmp_path / "test_marked.py").write_text(TEST.format(marker=marker))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), **ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in ran.stdout
    assert (ran.returncode != 0) == bool(ci)
