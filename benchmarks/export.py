"""Compare an export to S3 with psql's COPY of the same query to a local file."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from psycopg import sql

from benchmarks.contestants import psql
from benchmarks.processes import Measured, run
from benchmarks.report import facts_of, keep, result_of, table
from benchmarks.services import prepare, prepared

QUERY = "SELECT * FROM plain"
NAMES = {
    "psql": r"\copy of a query to a local file",
    "tally": "the same query to S3 in parts, verified by SHA-256, with ledger entry and manifest",
}


def export() -> None:
    """Export the query with Tally. The imports are inside the function, so that the measurement includes them."""
    from tasks.engine.export.exporter import Export, write_exports
    from tasks.engine.lake.client import Lake
    from tasks.engine.settings import read_lake, read_warehouse
    from tasks.engine.warehouse.tables import connect

    with connect(read_warehouse(os.environ, dict), "bench") as connection, Lake(read_lake(os.environ, dict)) as lake:
        exports = [Export("plain", sql.SQL(QUERY))]
        (receipt,) = write_exports(connection, lake, exports, prefix="out/", export_id="bench")
    print(receipt.row_count, receipt.size_bytes)


def bench(rows: int, rounds: int, *, folder: Path | None) -> None:
    """Measure, print the results, and write them to the folder if there is one.

    Raises:
        SystemExit: psql is not installed, or an export failed.
    """
    program = psql()
    if not program:
        raise SystemExit("expected psql on PATH, found none: install the Postgres client")
    with prepared(rows) as (data, _):
        dsn, out = data.environment["WAREHOUSE_DSN"], Path(data.environment["BENCH_FILE"]).with_name("out.csv")
        prepare(dsn)
        fill = rf"\copy plain from '{data.environment['BENCH_FILE']}' with (format csv, header)"
        subprocess.run([program, dsn, "-qc", fill, "-c", "VACUUM ANALYZE plain"], check=True)
        commands = {
            "psql": [program, dsn, "-qc", rf"\copy ({QUERY}) to '{out}' with (format csv, header)"],
            "tally": [sys.executable, "-m", "benchmarks.export", "--once"],
        }
        measured: dict[str, list[Measured]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                measured[name].append(run(command, data.environment))
    results = [result_of(name, NAMES[name], rows, taken) for name, taken in measured.items()]
    print(f"\nexport of {rows:,} events, {rounds} rounds\n{table(results, results[0])}")
    if folder:
        keep(folder, "export", {"rows": rows, "results": facts_of(results, results[0])})


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the table (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the results to bench.json in this folder")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.once:
        export()
    else:
        bench(options.rows, options.rounds, folder=options.keep)


if __name__ == "__main__":
    main()
