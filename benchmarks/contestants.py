"""Who runs: Tally, Postgres' own tools, and the peers of `benchmarks.peers`, each as a command."""

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

from deployments.postgres_binaries import find_binaries

if TYPE_CHECKING:
    from tasks.contracts import Contract

PEERS_PYTHON = Path(".venv-bench/bin/python")


@dataclass(frozen=True)
class Contestant:
    """One way to load the file.

    Attributes:
        name: In tables.
        reads: Where it has the bytes from.
        table: Where its rows are to be found.
        does: What it does, for readers of the table.
        is_slow: It gets the small file, and is compared by row.
        package: Whose version is told.
    """

    name: str
    reads: Literal["S3", "file"]
    table: str
    does: str
    is_slow: bool = False
    package: str | None = None


OWN = (
    Contestant(
        "tally", "S3", "events_staging.events", "typed, validated, rejected rows kept, ledgered", package="tally"
    ),
    Contestant(
        "tally-plain", "S3", "events_staging.plain_events", "the same, into a table of psql's columns and types"
    ),
    Contestant("psql", "file", "plain", r"\copy of the CSV, client and server on one machine"),
    Contestant("ready-rows", "file", "ready", "Tally's rows, made beforehand, by psql: what the server alone takes"),
    Contestant("psycopg-csv", "S3", "plain", "the object's bytes, as they are, into a CSV COPY", package="psycopg"),
)
PEERS = (
    Contestant("adbc", "S3", "peer", "ingest of pyarrow's CSV stream; all text", package="adbc-driver-postgresql"),
    Contestant("polars-adbc", "S3", "peer", "scan_csv, write_database by ADBC; all text", package="polars"),
    Contestant("polars-sqlalchemy", "S3", "plain", "scan_csv, write_database by SQLAlchemy", True, "polars"),
    Contestant("pandas", "S3", "plain", "read_csv in chunks, to_sql", True, "pandas"),
    Contestant("pandas-copy", "S3", "plain", "read_csv in chunks, to_sql with its guide's COPY", package="pandas"),
    Contestant("dlt", "S3", "bench.peer", "pyarrow's CSV stream, parquet files by ADBC; all text", package="dlt"),
    Contestant("sling", "S3", "bench.peer", "full-refresh; types inferred by it", package="sling-linux-amd64"),
)


def tally() -> None:
    """S3 -> parsed -> validated -> quarantined -> ledgered -> committed; its imports are its own, they count."""
    from tasks.contracts.events import EVENTS

    _load(EVENTS)


def tally_plain() -> None:
    """The same, with no more columns than the file has."""
    from benchmarks.services import plain_contract

    _load(plain_contract())


def _load(contract: "Contract") -> None:
    from tasks.engine.lake import Lake
    from tasks.engine.loader import load_object
    from tasks.engine.receipts import ObjectRef
    from tasks.engine.settings import read_lake, read_run, read_warehouse
    from tasks.engine.warehouse import connect

    with connect(read_warehouse(os.environ, dict), "bench") as connection, Lake(read_lake(os.environ, dict)) as lake:
        stored = lake.head(os.environ["BENCH_KEY"])
        source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, os.environ["BENCH_MONTH"])
        load_object(connection, lake, contract, source, read_run(os.environ))


def psycopg_csv() -> None:
    """The object's bytes, as they are, from S3 into a CSV COPY: no types checked but by Postgres, no line kept."""
    stored = boto3.Session().client("s3").get_object(Bucket=os.environ["LAKE_BUCKET"], Key=os.environ["BENCH_KEY"])
    statement = "COPY plain FROM STDIN (FORMAT csv, HEADER)"
    with psycopg.connect(os.environ["WAREHOUSE_DSN"]) as connection, connection.cursor().copy(statement) as copy:
        for block in stored["Body"].iter_chunks(1 << 20):
            copy.write(block)


STATEMENTS = {
    "psql": [r"\copy plain from '{file}' with (format csv, header)"],
    # As a load of a new month makes its table.
    "ready-rows": [
        """CREATE TABLE ready (
            id uuid NOT NULL, occurred_at timestamptz NOT NULL, event_date date NOT NULL, email text,
            company text NOT NULL, country text, ip inet, uri text, action text, tags text[]
        )""",
        "SET LOCAL backend_flush_after = '1MB'",
        r"\copy ready from '{file}.copy' with (format binary, freeze)",
    ],
}
"""What psql runs."""

IN_PROCESS: dict[str, Callable[[], None]] = {
    "tally": tally,
    "tally-plain": tally_plain,
    "psycopg-csv": psycopg_csv,
}


def psql() -> str | None:
    """The program, of our own server before the machine's."""
    return shutil.which("psql", path=f"{find_binaries(None)}{os.pathsep}{os.environ['PATH']}")


def command_of(contestant: Contestant, file: str, dsn: str) -> list[str] | None:
    """What to run; None where it is not installed."""
    if contestant.name in IN_PROCESS:
        return [sys.executable, "-m", "benchmarks.contestants", contestant.name]
    if statements := STATEMENTS.get(contestant.name):
        program = psql()
        commands = [part for statement in statements for part in ("-c", statement.format(file=file))]
        return [program, dsn, "--quiet", "--single-transaction", *commands] if program else None
    return [str(PEERS_PYTHON), "-m", "benchmarks.peers", contestant.name] if version_of(contestant) else None


def version_of(contestant: Contestant) -> str | None:
    """Version of a contestant's package where it runs; None where it is not installed."""
    python = sys.executable if contestant in OWN else PEERS_PYTHON
    if not contestant.package or not Path(python).exists():
        return None
    asked = f"import importlib.metadata as m; print(m.version('{contestant.package}'))"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    IN_PROCESS[sys.argv[1]]()
