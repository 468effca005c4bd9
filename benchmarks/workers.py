"""Measure a backfill through one worker and through two workers, each of which executes one run at a time.

    python -m benchmarks.workers --months 6 --rows 200000 --rounds 2

The configurations take turns. Both workers, Postgres, S3 and the Prefect server share this machine, so the share of
busy cores shows the limit that holds the second worker back.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg

from benchmarks.processes import run
from deployments.local.embedded import running
from deployments.local.prefect_services import PROJECT, client_environment, prefect_server, worker
from deployments.samples.events import events_csv, object_key

QUICK = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
BACKFILL = "from flows.backfill import backfill; backfill('events-monthly')"
SIZES = """
SELECT nspname, sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname IN ('events_staging', 'events_marts', 'ledger') GROUP BY 1 ORDER BY 1
"""
EMPTY = "DROP SCHEMA IF EXISTS events_staging, events_marts, ledger CASCADE"


@dataclass(frozen=True)
class Round:
    """One backfill: its seconds, and the share of the machine's cores that was busy."""

    seconds: float
    busy: float


def bench(months: int, rows: int, rounds: int, most_workers: int) -> None:
    """Measure and print the results."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with running(folder / "services") as services, prefect_server(folder / "prefect", has_ui=False) as api_url:
            environment = {**os.environ, **services.environment, **client_environment(folder / "prefect", api_url)}
            os.environ.update(services.environment)
            _deliver(months, rows, services.environment["LAKE_BUCKET"])
            register = [sys.executable, "-m", "deployments.register", "--pool", "process", "--deploy"]
            subprocess.run(register, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
            measured: dict[int, list[Round]] = {count: [] for count in range(1, most_workers + 1)}
            for _ in range(rounds):
                for count, taken in measured.items():
                    with psycopg.connect(services.environment["WAREHOUSE_DSN"], autocommit=True) as warehouse:
                        warehouse.execute(EMPTY)
                    taken.append(_backfill(count, environment, folder))
                    print(
                        f"{count} worker(s), {months} months of {rows:,} rows: {taken[-1].seconds:6.1f} s, "
                        f"{taken[-1].busy:4.0%} of {os.cpu_count()} cores busy",
                        flush=True,
                    )
            with psycopg.connect(services.environment["WAREHOUSE_DSN"]) as warehouse:
                sizes = warehouse.execute(SIZES).fetchall()
    for schema, size in sizes:
        print(f"{schema}: {size / (months * rows):.0f} bytes for each event, indexes included")
    alone = statistics.median(one.seconds for one in measured[1])
    for count, taken in measured.items():
        seconds = statistics.median(one.seconds for one in taken)
        print(f"{count} worker(s): median {seconds:.1f} s, {alone / seconds:.2f} times as fast as one worker")


def _deliver(months: int, rows: int, bucket: str) -> None:
    s3 = boto3.client("s3")
    for number in range(1, months + 1):
        month = f"2021-{number:02d}"
        s3.put_object(Bucket=bucket, Key=object_key("", month), Body=b"".join(events_csv(month, rows, bad_rows=0)))


def _backfill(count: int, environment: Mapping[str, str], folder: Path) -> Round:
    with ExitStack() as stack:
        for number in range(count):
            log = folder / f"worker-{number}.log"
            name = f"worker-{number}"
            stack.enter_context(
                worker("tally-process", "process", environment={**environment, **QUICK}, log=log, name=name, limit=1)
            )
        started, idle = time.perf_counter(), _idle_seconds()
        run([sys.executable, "-c", BACKFILL], environment)
        seconds = time.perf_counter() - started
        return Round(seconds, 1 - (_idle_seconds() - idle) / (seconds * (os.cpu_count() or 1)))


def _idle_seconds() -> float:
    """Seconds that all cores together have been idle since the start of the machine."""
    idle, waiting = Path("/proc/stat").read_text().splitlines()[0].split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--months", type=int, default=6, choices=range(1, 13), help="months to load (default: 6)")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of a month (default: 200,000)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds for each number of workers (default: 2)")
    parser.add_argument("--workers", type=int, default=2, help="the largest number of workers (default: 2)")
    options = parser.parse_args()
    bench(options.months, options.rows, options.rounds, options.workers)


if __name__ == "__main__":
    main()
