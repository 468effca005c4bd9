import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEST = "import pytest\n\n@pytest.mark.browser\ndef test_page(): pass\n"


@pytest.mark.parametrize(("ci", "outcome"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_browser_test_without_chromium_is_skipped_but_fails_in_ci(
    tmp_path: Path, ci: dict[str, str], outcome: str
) -> None:
    shutil.copy(HERE / "conftest.py", tmp_path)
    (tmp_path / "test_browser.py").write_text(TEST)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), **ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in ran.stdout, ran.stdout + ran.stderr
    assert (ran.returncode != 0) == bool(ci)
