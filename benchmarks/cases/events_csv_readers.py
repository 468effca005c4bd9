"""Readers of CSV, for the decision in docs/decisions.md: the compiled reader, and polars with the same guarantees.

The record scanner finds the records, their lines and the malformed ones for all contestants. `tally-polars` takes the
texts of each group of sound records from polars. `scan-pgpq` then encodes them with pgpq: it checks no types, derives
no columns and keeps no rejected rows, so its time is a lower bound.
"""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.case import PEERS, Case, Contestant, Variables, python
from benchmarks.cases.events_formats import COLUMNS, MONTH, prepare_events, renew_tables, tally

if TYPE_CHECKING:
    from benchmarks.services import Bench

GROUP_BYTES, GROUP_RECORDS = 4 << 20, 65_536
"""Limits of a group of records for polars, which is slower with smaller groups."""


def _frames(file: Any, name: str) -> Iterator[tuple[Any, Any, Any]]:
    """Yield groups of records, their columns, and their texts as a frame; None if a record is malformed."""
    import polars as pl

    from tasks.contracts.events import EVENTS
    from tasks.contracts.formats import Csv
    from tasks.engine.formats import csv_records
    from tasks.engine.formats.columns import match_columns
    from tasks.engine.formats.csv_header import read_header
    from tasks.engine.formats.csv_reader import chunks_of

    csv_records.MOST_BYTES, csv_records.MOST_RECORDS = GROUP_BYTES, GROUP_RECORDS
    chunks = chunks_of(file, GROUP_BYTES)
    header = read_header(chunks, Csv())
    columns = match_columns(EVENTS, header.names, name)
    pending, line, is_last = header.rest, header.line, header.is_last
    while True:
        begin = 0
        for records in csv_records.read_records(pending, columns, line, is_last=is_last):
            frame = None
            if records.row_count and not records.rejected_count:
                frame = pl.read_csv(pending[begin : records.end], has_header=False, infer_schema=False)
                frame = frame.select(pl.nth(place).alias(source) for source, place in columns.positions.items())
            begin, line = records.end, records.line
            if records.row_count or records.rejected_count:
                yield records, columns, frame
        if is_last:
            return
        chunk, is_last = next(chunks)
        pending = pending[begin:] + chunk


def _batches(file: Any, name: str, *_: Any) -> Iterator[Any]:
    """Read CSV with the texts of polars, in place of `tasks.engine.formats.csv_reader.read_csv`."""
    from dataclasses import replace

    from tasks.engine.formats.frames import string_columns_of

    for records, _columns, frame in _frames(file, name):
        batch = records.batch()
        yield batch if frame is None else replace(batch, strings=string_columns_of(frame))


def tally_polars() -> None:
    """Load with Tally, whose CSV reader takes the texts from polars."""
    from tasks.engine.formats import reader

    reader.read_csv = _batches
    tally()


def scan_pgpq() -> None:
    """Load texts with the record scanner, polars and pgpq."""
    sys.path += map(str, PEERS.glob("lib/python*/site-packages"))
    import pgpq
    import pyarrow as pa

    from benchmarks.step import engine
    from tasks.engine.prefetch import prefetched
    from tasks.engine.receipts import ObjectRef

    encoder = pgpq.ArrowToPostgresBinaryEncoder(pa.schema([(name, pa.large_string()) for name in COLUMNS]))
    with engine() as (connection, lake), connection.transaction(), connection.cursor() as cursor:
        stored = lake.head(os.environ["BENCH_KEY"])
        source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, MONTH)
        cursor.execute(f"CREATE TABLE public.peer ({', '.join(f'{name} text' for name in COLUMNS)})")

        def pieces(file: Any) -> Iterator[bytes]:
            yield encoder.write_header()
            for _records, _columns, frame in _frames(file, source.uri):
                for batch in frame.select(COLUMNS).to_arrow().to_batches():
                    yield encoder.write_batch(batch)
            yield encoder.finish()

        statement = "COPY public.peer FROM STDIN (FORMAT binary, FREEZE)"
        with (
            lake.open(source, lambda _: None) as file,
            prefetched(pieces(file), 2) as ready,
            cursor.copy(statement) as copy,
        ):
            for piece in ready:
                copy.write(memoryview(piece))


def _scan_pgpq(variables: Variables) -> list[str] | None:
    return python(scan_pgpq)(variables) if (PEERS / "installed").exists() else None


def _count(bench: "Bench", one: Contestant) -> object:
    return bench.rows(f"SELECT count(*) FROM {'events_staging.events' if one.is_own else 'peer'}")


CASES = (
    Case(
        "readers",
        "csv",
        "load of {size} events as CSV by several readers",
        (1_000_000, 3_000_000),
        lambda bench, size: prepare_events(bench, size, "events.csv"),
        (
            Contestant("tally", "the compiled reader", python(tally)),
            Contestant("tally-polars", "the texts by polars, the rows by the compiled encoder", python(tally_polars)),
            Contestant("scan-pgpq", "the texts by polars, the rows by pgpq, text columns", _scan_pgpq, "pgpq"),
        ),
        "tally",
        renew_tables,
        _count,
        is_default=False,
    ),
)
