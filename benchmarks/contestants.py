"""The compared tools as commands: Tally, Postgres' own tools, and the peers of `benchmarks.peers`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
import psycopg

from deployments.local.postgres_binaries import find_binaries

if TYPE_CHECKING:
    from tasks.contracts import Contract

PEERS_PYTHON = Path(".venv-bench/bin/python")


@dataclass(frozen=True)
class Contestant:
    """A tool that loads the file.

    Attributes:
        name: The name in reports.
        reads: The source of the bytes.
        table: The table that it writes.
        does: The description in reports.
        is_slow: Whether it loads the small file. Reports compare rows per second.
        package: The package whose version the report shows.
    """

    name: str
    reads: Literal["S3", "file"]
    table: str
    does: str
    is_slow: bool = False
    package: str | None = None


OWN = (
    Contestant(
        "tally",
        "S3",
        "events_staging.events",
        "types and validates, stores rejected rows and a ledger entry",
        package="tally",
    ),
    Contestant(
        "tally-plain", "S3", "events_staging.plain_events", "like tally, into a table with psql's columns and types"
    ),
    Contestant("psql", "file", "plain", r"\copy of the CSV, client and server on one machine"),
    Contestant("ready-rows", "file", "ready", "psql copies rows that Tally encoded earlier: the server's share alone"),
    Contestant("psycopg-csv", "S3", "plain", "copies the object's bytes unchanged with a CSV COPY", package="psycopg"),
)
PEERS = (
    Contestant("adbc", "S3", "peer", "ingests pyarrow's CSV stream; text columns", package="adbc-driver-postgresql"),
    Contestant("polars-adbc", "S3", "peer", "scan_csv, write_database with ADBC; text columns", package="polars"),
    Contestant("polars-sqlalchemy", "S3", "plain", "scan_csv, write_database with SQLAlchemy", True, "polars"),
    Contestant("pandas", "S3", "plain", "read_csv in chunks, to_sql", True, "pandas"),
    Contestant("pandas-copy", "S3", "plain", "read_csv in chunks, to_sql with COPY as in its guide", package="pandas"),
    Contestant("dlt", "S3", "bench.peer", "pyarrow's CSV stream, parquet files by ADBC; text columns", package="dlt"),
    Contestant("sling", "S3", "bench.peer", "full-refresh; infers the types", package="sling-linux-amd64"),
)


def tally() -> None:
    """Load the object with Tally. The imports are inside the function, so that the measurement includes them."""
    from tasks.contracts.events import EVENTS

    _load(EVENTS)


def tally_plain() -> None:
    """Load the object with Tally, without derived columns."""
    from benchmarks.services import plain_contract

    _load(plain_contract())


def _load(contract: "Contract") -> None:
    from tasks.engine.lake.client import Lake
    from tasks.engine.load.loader import load_object
    from tasks.engine.receipts import ObjectRef
    from tasks.engine.settings import read_lake, read_run, read_warehouse
    from tasks.engine.warehouse.tables import connect

    with connect(read_warehouse(os.environ, dict), "bench") as connection, Lake(read_lake(os.environ, dict)) as lake:
        stored = lake.head(os.environ["BENCH_KEY"])
        source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, os.environ["BENCH_MONTH"])
        load_object(connection, lake, contract, source, read_run(os.environ))


def psycopg_csv() -> None:
    """Copy the object's bytes unchanged from S3 with a CSV COPY. Only Postgres checks types."""
    stored = boto3.Session().client("s3").get_object(Bucket=os.environ["LAKE_BUCKET"], Key=os.environ["BENCH_KEY"])
    statement = "COPY plain FROM STDIN (FORMAT csv, HEADER)"
    with psycopg.connect(os.environ["WAREHOUSE_DSN"]) as connection, connection.cursor().copy(statement) as copy:
        for block in stored["Body"].iter_chunks(1 << 20):
            copy.write(block)


STATEMENTS = {
    "psql": [r"\copy plain from '{file}' with (format csv, header)"],
    # The same statements as in Tally's load of a new month.
    "ready-rows": [
        """CREATE TABLE ready (
            id uuid NOT NULL, occurred_at timestamptz NOT NULL, event_date date NOT NULL, email text,
            company text NOT NULL, country text, ip inet, uri text, action text, tags text[]
        )""",
        "SET LOCAL backend_flush_after = '1MB'",
        r"\copy ready from '{file}.copy' with (format binary, freeze)",
    ],
}
"""The commands that psql runs."""

IN_PROCESS: dict[str, Callable[[], None]] = {
    "tally": tally,
    "tally-plain": tally_plain,
    "psycopg-csv": psycopg_csv,
}


def psql() -> str | None:
    """Return the path of psql. The local server's program takes precedence over PATH."""
    return shutil.which("psql", path=f"{find_binaries(None)}{os.pathsep}{os.environ['PATH']}")


def command_of(contestant: Contestant, file: str, dsn: str) -> list[str] | None:
    """Return the command of a tool, or None if the tool is not installed."""
    if contestant.name in IN_PROCESS:
        return [sys.executable, "-m", "benchmarks.contestants", contestant.name]
    if statements := STATEMENTS.get(contestant.name):
        program = psql()
        commands = [part for statement in statements for part in ("-c", statement.format(file=file))]
        return [program, dsn, "--quiet", "--single-transaction", *commands] if program else None
    return [str(PEERS_PYTHON), "-m", "benchmarks.peers", contestant.name] if version_of(contestant) else None


def version_of(contestant: Contestant) -> str | None:
    """Return the version of a tool's package, or None if it is not installed."""
    python = sys.executable if contestant in OWN else PEERS_PYTHON
    if not contestant.package or not Path(python).exists():
        return None
    code = f"import importlib.metadata as m; print(m.version('{contestant.package}'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    IN_PROCESS[sys.argv[1]]()
