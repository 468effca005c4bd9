"""Run the tests of a source file against mutants of it: `make mutants FILE=...`.

A mutant is the file with one small change. universalmutator makes the mutants from `operators.rules` and runs the
tests on each. The work happens in a copy of the project. The tests of the mutants share one Postgres and one S3 server.
"""

import difflib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployments.local import embedded

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-mutants" / "bin"
RULES = Path(__file__).with_name("operators.rules")
NATIVE = Path("tasks/engine/formats/native")
FILES = {
    "copy_out.c": "integration/test_copy_out",
    "words.c": "unit/test_native_words unit/test_types unit/test_rows",
    "arrays.c": "integration/test_value_spellings unit/test_types unit/test_rows",
    "csv.c": "unit/test_csv_records unit/test_csv_dialects",
    "derive_cache.c": "unit/test_derive_cache unit/test_rows",
    "json_*.c": "unit/test_json_native unit/test_json_paths unit/test_json_reader",
    "spellings.c": "unit/test_spelling unit/test_numeric_types",
    "string_columns.c": "unit/test_csv_records unit/test_reader unit/test_parquet_pages unit/test_parquet_reader"
    " unit/test_csv_dialects unit/test_native_edges",
    "time_formats.c": "unit/test_time_formats unit/test_types",
    "utf8.c": "unit/test_native_edges",
    "*.c": "unit/test_types unit/test_spelling unit/test_native_edges unit/test_rows unit/test_numeric_types"
    " integration/test_value_spellings",
    "histories.py": "integration/test_histories",
    "dispositions.py": "integration/test_builder_merges integration/test_shared_tables integration/test_assigned_types",
}
"""The tests that decide, by the name of the mutated file."""

MOST_SECONDS = 300
"""Limit of the test run without a mutant."""

LEAST_SECONDS = 20
"""Smallest limit of a test run with a mutant. The limit is ten times the run without a mutant, because a mutant can
loop forever. A run that reaches the limit counts as failed."""

COMPILE = """
import subprocess, sys
from pathlib import Path
from tasks.engine.formats.native.sources import sources_digest
folder = Path(sys.argv[1])
options = ["-std=c11", "-O0", "-fPIC", "-shared", "-fvisibility=hidden"]
version = f'-DNATIVE_VERSION="{sources_digest(folder)}"'
subprocess.run(["cc", *options, version, "-o", folder / "library.abi3.so", *folder.glob("*.c")], check=True)
"""


def tests_of(file: Path) -> list[str]:
    """Return the test files that decide about the mutants of a file.

    Raises:
        SystemExit: `FILES` does not name tests for the file.
    """
    for pattern, names in FILES.items():
        if file.match(pattern):
            return [f"tests/{name}.py" for name in names.split()]
    sys.exit(f"expected a file that matches {', '.join(FILES)}, found {file}: add its tests to FILES in {__file__}")


def copy_project(target: Path) -> None:
    """Copy the project's files without generated folders."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".git", ".venv*", ".tally", ".*_cache", "__pycache__"))


def script(file: Path, seconds: float) -> str:
    """Return the shell command that tests one mutant, within a number of seconds."""
    # The tool ends only the shell, so `timeout` ends the tests.
    end = f"timeout --kill-after=5 {seconds:.0f}"
    test = f"{end} {sys.executable} -m pytest -x -q -p no:cacheprovider {' '.join(tests_of(file))}"
    return f"{sys.executable} -c {shlex.quote(COMPILE)} {NATIVE} && {test}" if file.suffix == ".c" else test


def main(file: Path, limit: str, seconds: str) -> None:
    """Make the mutants of a file, run its tests on each, and print the surviving mutants."""
    with tempfile.TemporaryDirectory(prefix="tally-mutants-") as folder:
        Path(folder).chmod(0o711)
        copy, mutants = Path(folder, "project"), Path(folder, "mutants")
        copy_project(copy)
        mutants.mkdir()
        # A C file cannot be checked alone. If a mutant does not compile, its test command fails.
        check = ["--noCheck"] if file.suffix == ".c" else []
        make = [TOOLS / "mutate", file, "--only", RULES, "--mutantDir", mutants, *check]
        subprocess.run(make, cwd=copy, check=True, stdout=subprocess.DEVNULL)
        with embedded.running(Path(folder, "services"), is_durable=False) as services:
            environment = os.environ | services.administration | {"PYTHONPATH": str(copy)}
            started = time.monotonic()
            command = script(file, MOST_SECONDS)
            subprocess.run(command, cwd=copy, check=True, shell=True, env=environment)  # noqa: S602 - our own text
            most_seconds = max(LEAST_SECONDS, 10 * (time.monotonic() - started))
            analyze = [TOOLS / "analyze_mutants", file, script(file, most_seconds), "--mutantDir", mutants]
            analyze += ["--timeout", f"{2 * most_seconds:.0f}"]
            analyze += ["--seed", "1", "--numMutants", str(int(limit) + 1)]  # the tool does not record the last one
            subprocess.run(["timeout", seconds, *analyze], cwd=copy, check=False, env=environment)  # noqa: S607
        survived = (copy / "notkilled.txt").read_text().split()
        killed = (copy / "killed.txt").read_text().split()
        for name in survived:
            old, new = (path.read_text().splitlines() for path in (ROOT / file, mutants / name))
            print("\n".join(difflib.unified_diff(old, new, str(file), name, n=0, lineterm="")))
        total = len([*mutants.iterdir()])
        print(f"{file}: {total} mutants, {len(killed)} killed, {len(survived)} survived")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
