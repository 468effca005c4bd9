"""Loads of one month of events in every format. The contestants write the same rows."""

import gzip
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.case import Case, Contestant, Variables, peer, psql, python

if TYPE_CHECKING:
    from benchmarks.services import Bench
    from tasks.contracts import Contract
    from tasks.contracts.types import ColumnType

MONTH = "2021-04"
COLUMNS = ("id", "timestamp", "email", "country", "ip", "uri", "action", "tags")
ROWS = 1_000_000
TABLES = {"tally": "events_staging.events", "tally-plain": "events_staging.plain_events", "ready-rows": "ready"}
TABLES |= {"tally-text": "events_staging.text_events", "psql": "plain", "psycopg-csv": "plain"}
"""The table that a contestant writes. All others write `peer`."""

PLAIN = """
CREATE TABLE plain (
    id uuid, timestamp timestamptz, email text, country text, ip inet, uri text, action text, tags text
)
"""
READY = """CREATE TABLE ready (
    id uuid NOT NULL, occurred_at timestamptz NOT NULL, event_date date NOT NULL, email text,
    company text NOT NULL, country text, ip inet, uri text, action text, tags text[]{BENCH_LINE}
);
SET LOCAL backend_flush_after = '1MB';
\\copy ready from '{BENCH_FILE}.copy' with (format binary, freeze)
"""


def tally() -> None:
    """Load the object with Tally."""
    from benchmarks.step import load
    from tasks.contracts.events import EVENTS

    load(EVENTS, [os.environ["BENCH_KEY"]], [MONTH])


def tally_plain() -> None:
    """Load the object with Tally, into columns and types of psql's table."""
    from benchmarks.step import load

    load(plain_contract(), [os.environ["BENCH_KEY"]], [MONTH])


def tally_text() -> None:
    """Load the object with Tally, into text columns like those of the other tools."""
    from benchmarks.step import load

    load(text_contract(), [os.environ["BENCH_KEY"]], [MONTH])


def psycopg_csv() -> None:
    """Copy the object's bytes unchanged from S3 with a CSV COPY. Only Postgres checks types."""
    import boto3
    import psycopg

    stored = boto3.Session().client("s3").get_object(Bucket=os.environ["LAKE_BUCKET"], Key=os.environ["BENCH_KEY"])
    statement = "COPY plain FROM STDIN (FORMAT csv, HEADER)"
    with psycopg.connect(os.environ["WAREHOUSE_DSN"]) as connection, connection.cursor().copy(statement) as copy:
        for block in stored["Body"].iter_chunks(1 << 20):
            copy.write(block)


def plain_contract() -> "Contract":
    """Return a contract without derived columns, and with tags as text."""
    from tasks.contracts.types import INET, TIMESTAMPTZ, UUID

    return _contract("plain_events", {"id": UUID, "timestamp": TIMESTAMPTZ, "ip": INET})


def text_contract() -> "Contract":
    """Return a contract of text columns, without derived columns."""
    return _contract("text_events", {})


def _contract(name: str, types: "Mapping[str, ColumnType]") -> "Contract":
    from tasks.contracts import Column
    from tasks.contracts.events import EVENTS
    from tasks.contracts.types import TEXT

    columns = tuple(Column(column, types.get(column, TEXT), "As delivered.") for column in COLUMNS)
    return replace(EVENTS, dataset=name, table=f"events_staging.{name}", columns=columns)


def write_events(file: Path, rows: int) -> Path:
    """Write a month of events in the format that the file's suffixes name."""
    import polars as pl

    from deployments.samples.events import events_csv

    plain = file.with_name("events.csv")
    if not plain.exists():
        with plain.open("wb") as out:
            out.writelines(events_csv(MONTH, rows, bad_rows=0))
    if file.suffix == ".gz":
        with plain.open("rb") as source, gzip.open(file, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    elif file.suffix == ".zst":
        import pyarrow as pa

        with plain.open("rb") as source, pa.CompressedOutputStream(str(file), "zstd") as packed:
            shutil.copyfileobj(source, packed, 1 << 20)
    elif file.suffix != ".csv":
        frame = pl.read_csv(plain, infer_schema=False)
        writers: dict[str, Callable[..., Any]] = {
            ".json": frame.write_json,
            ".ndjson": frame.write_ndjson,
            ".parquet": frame.write_parquet,
        }
        writers[file.suffix](file)
    for each in (plain, file):
        each.chmod(0o644)
    return file


def prepare_events(bench: "Bench", rows: int, name: str) -> Variables:
    """Put a month of events into the lake, and beside it its rows as Tally copies them."""
    folder = bench.folder / f"events-{rows}"
    folder.mkdir(exist_ok=True)
    file = write_events(folder / name, rows)
    ready = file.with_name(f"{name}.copy")
    line = ""
    if name == "events.csv":
        line = _write_ready_rows(file, ready)
    bench.put(file, f"bench/{name}")
    bench.ends.callback(lambda: [each.unlink() for each in (ready, file) if each.exists() and each.suffix != ".csv"])
    formatted = name.removeprefix("events.")
    return {"BENCH_FILE": str(file), "BENCH_KEY": f"bench/{name}", "BENCH_FORMAT": formatted, "BENCH_LINE": line}


def _write_ready_rows(file: Path, target: Path) -> str:
    """Write the rows as Tally copies them. Return the columns that they have besides those of the contract."""
    from tasks.contracts.events import EVENTS
    from tasks.engine.formats.reader import read_batches
    from tasks.engine.formats.rows import RowEncoder
    from tasks.engine.warehouse.copy import HEAD, TAIL

    encoder = RowEncoder(EVENTS)
    with file.open("rb") as plain, target.open("wb") as out:
        out.write(HEAD)
        out.writelines(encoder.encode(batch).data for batch in read_batches(plain, file.name, EVENTS))
        out.write(TAIL)
    with target.open("rb") as out:
        fields = int.from_bytes(out.read(len(HEAD) + 2)[len(HEAD) :], "big")
    target.chmod(0o644)
    return ", line_number bigint" if fields > len(EVENTS.columns) else ""


def renew_tables(bench: "Bench", _: Contestant) -> None:
    """Create the tables of the contestants again, empty."""
    from tasks.contracts.events import EVENTS

    tables = "DROP TABLE IF EXISTS plain, peer, ready"
    schemas = "DROP SCHEMA IF EXISTS events_staging, ledger, bench, bench_staging CASCADE"
    bench.execute(schemas, tables, "CREATE SCHEMA bench", PLAIN)
    bench.create_tables([EVENTS, plain_contract(), text_contract()], [])


def _count(bench: "Bench", one: Contestant) -> object:
    table = TABLES.get(one.name, "bench.peer" if one.name in {"dlt", "sling"} else "peer")
    return bench.rows(f"SELECT count(*) FROM {table}")


def _case(name: str, title: str, base: str, *contestants: Contestant, part: str = "formats", rows: int = ROWS) -> Case:
    own = (
        Contestant("tally", "from S3, types and validates, keeps rejected rows, writes the ledger", python(tally)),
        Contestant("tally-text", "like tally, into text columns as the other tools write them", python(tally_text)),
    )
    return Case(
        part,
        name,
        f"load of {{size}} events as {title}",
        (rows,),
        lambda bench, size: prepare_events(bench, size, f"events.{name.partition('-')[0]}"),
        (*own, *contestants),
        base,
        renew_tables,
        _count,
    )


DUCKDB = (
    Contestant("duckdb", "from a local file into text columns", peer("duckdb"), "duckdb"),
    Contestant("duckdb-s3", "from S3 into text columns", peer("duckdb_s3"), "duckdb"),
)
ADBC = Contestant("adbc", "from S3, pyarrow's stream, text columns", peer("adbc"), "adbc-driver-postgresql")
POLARS = Contestant("polars-adbc", "from S3, polars in memory and ADBC, text columns", peer("polars_adbc"), "polars")
PGPQ = Contestant("pgpq", "from S3, pyarrow's stream and a binary COPY, text columns", peer("pgpq"), "pgpq")
PSQL = Contestant(
    "psql", r"\copy of the local file", psql("\\copy plain from '{BENCH_FILE}' with (format csv, header)\n")
)
UNZIPPED = Contestant(
    "psql",
    r"\copy of the local file through gzip",
    psql("\\copy plain from program 'gzip -dc {BENCH_FILE}' with (format csv, header)\n"),
)
SLOW = (
    Contestant("dlt", "from S3, pyarrow's stream, parquet files by ADBC, text columns", peer("dlt"), "dlt"),
    Contestant("sling", "from S3, full-refresh, infers the types", peer("sling"), "sling-linux-amd64"),
    Contestant("pandas-copy", "from S3, to_sql with COPY as in its guide, text columns", peer("pandas_copy"), "pandas"),
    Contestant("pandas", "from S3, to_sql, text columns", peer("pandas"), "pandas"),
    Contestant(
        "polars-sqlalchemy",
        "from S3, write_database with SQLAlchemy, text columns",
        peer("polars_sqlalchemy"),
        "polars",
    ),
)

CASES = (
    _case(
        "csv",
        "CSV",
        "psql",
        Contestant("tally-plain", "like tally, into the columns and types of psql's table", python(tally_plain)),
        PSQL,
        Contestant("ready-rows", "psql copies rows that Tally encoded earlier: the server's share", psql(READY)),
        Contestant("psycopg-csv", "from S3, the object's bytes with a CSV COPY", python(psycopg_csv)),
        *DUCKDB,
        ADBC,
        POLARS,
        PGPQ,
    ),
    _case("json", "a JSON document", "duckdb", *DUCKDB, POLARS),
    _case("ndjson", "NDJSON", "duckdb", *DUCKDB, ADBC, POLARS, PGPQ),
    _case("parquet", "parquet", "duckdb", *DUCKDB, ADBC, POLARS, PGPQ),
    _case("csv.gz", "csv.gz", "psql", UNZIPPED, *DUCKDB, ADBC, POLARS),
    _case("csv.zst", "csv.zst", "duckdb", *DUCKDB, ADBC, POLARS),
    _case("csv-tools", "CSV by tools that need longer", "psql", PSQL, *SLOW, part="tools", rows=50_000),
)
