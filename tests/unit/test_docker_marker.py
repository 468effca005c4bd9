import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TEST = "import pytest\n\n@pytest.mark.docker\ndef test_engine(): pass\n"


@pytest.mark.parametrize(("ci", "outcome"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_docker_test_without_an_engine_is_skipped_but_fails_in_ci(
    tmp_path: Path, ci: dict[str, str], outcome: str
) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_docker.py").write_text(TEST)
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
