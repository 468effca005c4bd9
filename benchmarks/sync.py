"""Measure `totesys-sync`: a first load, runs without changes, and runs with many changes, each in its own process."""

import argparse
import os
import random
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.processes import run
from benchmarks.startup import EMPTY_FLOW
from deployments.local import totesys
from deployments.local.embedded import running
from deployments.local.prefect_services import client_environment, prefect_server
from deployments.samples.totesys_changes import change_source

CHANGES = 1000
SYNC = "from flows.totesys_sync import totesys_sync; totesys_sync()"


def bench(sales_orders: int, rounds: int) -> None:
    """Measure and print the results.

    Raises:
        SystemExit: A run failed, or the environment names external services.
    """
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with running(folder / "services") as services, prefect_server(folder / "prefect", has_ui=False) as api_url:
            totesys.SALES_ORDERS = sales_orders
            environment = {**os.environ, **services.environment, **client_environment(folder / "prefect", api_url)}
            environment |= totesys.provide(services, folder)
            owner_dsn = totesys.owner_dsn(folder)
            if owner_dsn is None:
                raise SystemExit(
                    "expected local services, found external ones in the environment: "
                    "unset WAREHOUSE_DSN and AWS_ENDPOINT_URL"
                )

            def measure(label: str, program: str = SYNC) -> None:
                with psycopg.connect(services.environment["WAREHOUSE_DSN"], autocommit=True) as warehouse:
                    before = _extracted(warehouse)
                    taken = run([sys.executable, "-c", program], environment)
                    rows = _extracted(warehouse) - before
                print(
                    f"{label:16} {rows:10,} rows {taken.seconds:7.2f} s  CPU {taken.cpu_seconds:6.2f} s"
                    f" {taken.peak_mb:5.0f} MB",
                    flush=True,
                )

            measure("empty flow", EMPTY_FLOW)
            measure("first load")
            for _ in range(rounds):
                measure("no change")
            rng = random.Random(1)  # noqa: S311 - repeatable, not secret
            for _ in range(rounds):
                with psycopg.connect(owner_dsn, autocommit=True) as source:
                    change_source(source, rng, CHANGES, at=datetime.now(UTC).replace(tzinfo=None))
                measure(f"{CHANGES:,} changes")


def _extracted(warehouse: psycopg.Connection) -> int:
    """Return the number of rows that all runs so far have extracted."""
    if warehouse.execute("SELECT FROM pg_tables WHERE tablename = 'sync_runs'").fetchone() is None:
        return 0
    runs = warehouse.execute("SELECT row_counts FROM ledger.sync_runs").fetchall()
    return sum(sum(counts.values()) for (counts,) in runs)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sales-orders", type=int, default=100_000, help="rows in the source (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    options = parser.parse_args(arguments)
    bench(options.sales_orders, options.rounds)


if __name__ == "__main__":
    main()
