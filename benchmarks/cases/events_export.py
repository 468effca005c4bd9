"""An export of a table to S3, compared with psql's copy of the same query to a local file."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.case import Case, Contestant, Variables, psql, psql_program, python
from benchmarks.cases.events_formats import PLAIN, write_events

if TYPE_CHECKING:
    from benchmarks.services import Bench

QUERY = "SELECT * FROM public.plain"


def tally() -> None:
    """Export the query."""
    from psycopg import sql

    from benchmarks.step import engine
    from tasks.engine.export.exporter import Export, write_exports

    with engine() as (connection, lake):
        write_exports(connection, lake, [Export("plain", sql.SQL(QUERY))], prefix="out/", export_id="bench")


def copy_and_upload() -> None:
    """Copy the query to a local file with psql, and upload the file to S3."""
    import boto3

    out = os.environ["BENCH_OUT"]
    copy = f"\\copy ({QUERY}) to '{out}' with (format csv, header)"
    subprocess.run([str(psql_program()), os.environ["WAREHOUSE_DSN"], "-qc", copy], check=True)
    boto3.client("s3").upload_file(out, os.environ["LAKE_BUCKET"], "out/bench/uploaded.csv")


def _prepare(bench: "Bench", rows: int) -> Variables:
    folder = bench.folder / f"events-{rows}"
    folder.mkdir(exist_ok=True)
    file, out = write_events(folder / "events.csv", rows), bench.folder / "out.csv"
    fill = f"\\copy plain from '{file}' with (format csv, header)"
    bench.create_tables([], [])
    bench.execute(PLAIN)
    subprocess.run([str(psql_program()), bench.environment["WAREHOUSE_DSN"], "-qc", fill], check=True)
    bench.execute("VACUUM ANALYZE plain")
    return {"BENCH_OUT": str(out)}


def _digest(bench: "Bench", one: Contestant) -> object:
    """The SHA-256 of the file that a contestant wrote."""
    if one.is_own:
        content = bench.s3.get_object(Bucket=bench.environment["LAKE_BUCKET"], Key="out/bench/plain.csv")["Body"].read()
    else:
        content = Path(bench.folder / "out.csv").read_bytes()
    return hashlib.sha256(content).hexdigest()


CASES = (
    Case(
        "exports",
        "csv",
        "export of {size} events as CSV",
        (1_000_000,),
        _prepare,
        (
            Contestant("tally", "to S3 in parts, verified by checksum, with ledger and manifest", python(tally)),
            Contestant(
                "psql-boto3", r"\copy to a local file, then boto3 sends the file to S3", python(copy_and_upload)
            ),
            Contestant(
                "psql",
                r"\copy of the same query to a local file",
                psql(f"\\copy ({QUERY}) to '{{BENCH_OUT}}' with (format csv, header)\n"),
            ),
        ),
        "psql",
        outcome=_digest,
    ),
)
