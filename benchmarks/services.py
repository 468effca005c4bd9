"""The environment of a benchmark: local Postgres and S3 servers, a generated file in S3 and on disk, empty tables."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
import psycopg
from psycopg.conninfo import conninfo_to_dict

from deployments.local.embedded import running
from deployments.samples.events import COLUMNS, events_csv, object_key

if TYPE_CHECKING:
    from tasks.contracts import Contract

MONTH = "2021-04"
KEY = object_key("", MONTH)
SLOW_ROWS = 100_000
"""The rows of the small file, for tools that would need minutes for the large one."""

PLAIN = """
CREATE TABLE plain (
    id uuid, timestamp timestamptz, email text, country text, ip inet, uri text, action text, tags text
)
"""
_EMPTY = """
DROP SCHEMA IF EXISTS events_staging, events_marts, ledger, bench, bench_staging CASCADE;
DROP TABLE IF EXISTS plain, peer, ready;
CREATE SCHEMA bench;
"""


@dataclass(frozen=True)
class Data:
    """A generated file, in S3 and on disk.

    Attributes:
        rows: The number of records.
        size_bytes: The size of the file.
        environment: The variables of the services, the file's path, key and month (`BENCH_FILE`, `BENCH_KEY`,
            `BENCH_MONTH`), and the database (`BENCH_URI`). `{BENCH_FILE}.copy` contains the rows in the format of a
            binary COPY.
    """

    rows: int
    size_bytes: int
    environment: Mapping[str, str]


@contextmanager
def prepared(rows: int) -> Iterator[tuple[Data, Data]]:
    """Start the services, and yield a file with the given number of rows and a small file for slow tools."""
    folder = Path(tempfile.mkdtemp(prefix="tally-bench-"))
    folder.chmod(0o711)
    try:
        with running(folder / "services") as services:
            os.environ.update(services.environment)
            os.environ["BENCH_URI"] = _uri(services.environment["WAREHOUSE_DSN"])
            os.environ["BENCH_ADMINISTRATION"] = services.administration["WAREHOUSE_DSN"]
            # Both files contain the same month, so their keys have different prefixes.
            yield _deliver(folder / "events.csv", KEY, rows), _deliver(folder / "few.csv", f"few/{KEY}", SLOW_ROWS)
    finally:
        shutil.rmtree(folder)


def _deliver(file: Path, key: str, rows: int) -> Data:
    with file.open("wb") as out:
        out.writelines(events_csv(MONTH, rows, bad_rows=0))
    file.chmod(0o644)
    ready = file.with_name(f"{file.name}.copy")
    with file.open("rb") as plain, ready.open("wb") as out:
        out.writelines(_ready_rows(plain, file.name))
    ready.chmod(0o644)
    boto3.Session().client("s3").upload_file(str(file), os.environ["LAKE_BUCKET"], key)
    names = {"BENCH_FILE": str(file), "BENCH_KEY": key, "BENCH_MONTH": MONTH}
    return Data(rows, file.stat().st_size, {**os.environ, **names})


def _ready_rows(file: io.BufferedReader, name: str) -> Iterator[bytes]:
    from tasks.contracts.events import EVENTS
    from tasks.engine.formats.reader import read_batches
    from tasks.engine.formats.rows import RowEncoder
    from tasks.engine.warehouse.copy import HEAD, TAIL

    encoder = RowEncoder(EVENTS)
    yield HEAD
    yield from (encoder.encode(batch).data for batch in read_batches(file, name, EVENTS))
    yield TAIL


def _uri(dsn: str) -> str:
    """Convert the DSN to a URI, because some tools accept no other format."""
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(dsn).items()}
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def plain_contract() -> "Contract":
    """Return a contract with the columns of psql's table: no derived columns, and tags as text."""
    from tasks.contracts import Column
    from tasks.contracts.events import EVENTS
    from tasks.contracts.types import INET, TEXT, TIMESTAMPTZ, UUID

    types = {"id": UUID, "timestamp": TIMESTAMPTZ, "ip": INET}
    columns = tuple(Column(name, types.get(name, TEXT), "As delivered.") for name in COLUMNS)
    return replace(EVENTS, dataset="plain_events", table="events_staging.plain_events", columns=columns)


def prepare(dsn: str) -> None:
    """Create empty tables before a run, and write the pages of the previous run to disk."""
    from tasks.contracts.events import EVENTS
    from tasks.engine.schema.ddl import apply_ddl
    from tasks.engine.settings import read_warehouse
    from tasks.engine.warehouse.sessions import connect

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_EMPTY)
        connection.execute(PLAIN)
    with connect(read_warehouse({"WAREHOUSE_DSN": dsn}, dict), "bench") as connection:
        apply_ddl(connection, [EVENTS, plain_contract()], [])
    with psycopg.connect(os.environ["BENCH_ADMINISTRATION"], autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def count_rows(dsn: str, table: str) -> int:
    """Return the number of rows in a table."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
