"""Measure the fixed time of a run that has little or no data: the engine alone, and a flow with a Prefect server."""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.processes import Measured, run
from benchmarks.report import facts_of, keep, result_of
from benchmarks.services import MONTH, count_rows, prepare, prepared
from deployments.local.prefect_services import client_environment, prefect_server

ROWS = 1000
FLOW = f"from flows.events_monthly import events_monthly; events_monthly('{MONTH}')"
EMPTY_FLOW = "from prefect import flow; flow(lambda: None, name='nothing')()"
ENGINE = [sys.executable, "-m", "benchmarks.contestants", "tally"]
RUNS = {
    "empty flow": ("a Prefect flow without tasks: the minimum time of a run", [sys.executable, "-c", EMPTY_FLOW]),
    "load": (f"the engine loads {ROWS:,} rows", ENGINE),
    "load, nothing": ("the engine skips an object that is already loaded", ENGINE),
    "month": (
        f"events-monthly with {ROWS:,} rows: load, 5 tables, checks, exports, report",
        [sys.executable, "-c", FLOW],
    ),
    "month, nothing": ("events-monthly skips a month that is already loaded", [sys.executable, "-c", FLOW]),
}


def imports(module: str) -> list[tuple[str, float]]:
    """Return the import time of a module by package in seconds, the slowest package first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"], capture_output=True, text=True, check=True
    )
    spent: Counter[str] = Counter()
    for microseconds, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr, re.MULTILINE):
        spent[name.partition(".")[0]] += int(microseconds)
    return [(name, microseconds / 1e6) for name, microseconds in spent.most_common(15)]


def measure(environment: Mapping[str, str], rounds: int) -> dict[str, list[Measured]]:
    """Measure each kind of run, round by round.

    Raises:
        SystemExit: A run failed or loaded a wrong number of rows.
    """
    dsn = environment["WAREHOUSE_DSN"]
    measured: dict[str, list[Measured]] = {name: [] for name in RUNS}
    for _ in range(rounds):
        for name, (_, command) in RUNS.items():
            if not name.endswith("nothing"):
                prepare(dsn)
            measured[name].append(run(command, environment))
            expected = 0 if name == "empty flow" else ROWS
            if (found := count_rows(dsn, "events_staging.events")) != expected:
                raise SystemExit(f"expected {expected:,} rows after {name!r}, found {found:,}")
    return measured


def bench(rounds: int, *, folder: Path | None) -> None:
    """Measure, print the results, and write them to the folder if there is one."""
    with (
        tempfile.TemporaryDirectory(prefix="tally-bench-") as server,
        prepared(ROWS) as (data, _),
        prefect_server(Path(server), has_ui=False) as api_url,
    ):
        measured = measure({**data.environment, **client_environment(Path(server), api_url)}, rounds)
    results = [result_of(name, RUNS[name][0], ROWS, taken) for name, taken in measured.items()]
    print(f"\nstart-up, {rounds} rounds")
    for found in results:
        spent_on = f"{found.median:6.2f} s  CPU {found.cpu_seconds:5.2f} s {found.peak_mb:5.0f} MB"
        print(f"{found.name:15} {spent_on}  {found.does}")
    print("\nimport flows.events_monthly:")
    spent = imports("flows.events_monthly")
    print("\n".join(f"{seconds:7.3f} s  {name}" for name, seconds in spent))
    if folder:
        keep(folder, "startup", {"results": facts_of(results, results[0]), "imports": dict(spent)})


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the results to bench.json in this folder")
    options = parser.parse_args(arguments)
    bench(options.rounds, folder=options.keep)


if __name__ == "__main__":
    main()
