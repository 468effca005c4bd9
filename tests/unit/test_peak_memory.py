"""The processes whose peak memory tests measure."""

import os
import subprocess
import sys

import pytest
from peak_memory import needs_proc, printed_by

pytestmark = needs_proc

PEAK = """
import sample_dataset, sample_visits
from peak_memory import peak_mb
print(peak_mb())
"""


def test_peak_of_a_process_counts_its_own_memory_and_no_memory_of_an_earlier_one() -> None:
    before, large, after = (float(printed_by(code + PEAK)[0]) for code in ("", "x = b'x' * (200 << 20)", ""))
    assert large >= before + 199
    assert after < before + 20


def test_peak_of_a_process_counts_its_imports() -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    new = subprocess.run([sys.executable, "-c", PEAK], env=environ, capture_output=True, text=True, check=True)
    assert float(printed_by(PEAK)[0]) > float(new.stdout) - 5


def test_process_has_the_environment_and_the_arguments_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; print(os.environ['LAKE_BUCKET'], *sys.argv[1:])"
    for name in ("one", "two"):
        monkeypatch.setenv("LAKE_BUCKET", name)
        assert printed_by(code, "a", "b") == [f"{name} a b"]


def test_error_of_the_code_is_the_error_of_the_test() -> None:
    with pytest.raises(AssertionError, match=r"ended with 1 and printed (.|\n)*ZeroDivisionError"):
        printed_by("print(1 / 0)")
    with pytest.raises(AssertionError, match="ended with -9"):
        printed_by("import os; os.kill(os.getpid(), 9)")
