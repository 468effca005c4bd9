"""Parquet: row groups as frames of what the columns hold."""

import io
from collections.abc import Callable, Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.engine.batches import Batch
from tasks.engine.columns import match_columns

PARQUET_ROWS = 131_072
"""The most rows that are read at once."""

ROW_BYTES = 128
"""What a row is taken to hold."""


def read_parquet(file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read parquet; see `tasks.engine.reader.read_batches`."""
    # Without pre-buffering, which would hold all of the object in memory before the first batch.
    parquet = pq.ParquetFile(pa.PythonFile(file, "r"), pre_buffer=False)
    columns = match_columns(contract, parquet.schema_arrow.names, name)
    first = 1
    for arrow in parquet.iter_batches(batch_size=min(chunk_bytes // ROW_BYTES, PARQUET_ROWS)):
        whole = pl.DataFrame(arrow)
        frame = columns.select(whole)
        numbers = pl.int_range(first, first + len(frame), eager=True)
        yield Batch(frame, numbers, _encode_rows(whole), columns)
        first += len(frame)


def _encode_rows(frame: pl.DataFrame) -> Callable[[pl.Series], list[bytes]]:
    frame = frame.with_columns(pl.selectors.binary().bin.encode("hex"))  # JSON has no bytes
    return lambda rows: frame[rows].write_ndjson().encode().splitlines()
