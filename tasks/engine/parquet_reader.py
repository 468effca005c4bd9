"""Parquet: row groups as texts, every value in its ISO spelling."""

import io
from collections.abc import Iterator, Sequence
from functools import partial

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.contracts.words import WORDS
from tasks.engine.batches import Batch
from tasks.engine.columns import match_columns
from tasks.engine.errors import ContractError
from tasks.engine.frames import texts_of

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
        texts = [
            _texts(whole.to_series(position).alias(name), contract) for name, position in columns.positions.items()
        ]
        yield Batch(texts_of(pl.DataFrame(texts)), partial(_records, whole, first), columns)
        first += len(whole)


def _records(frame: pl.DataFrame, first: int, rows: Sequence[int]) -> list[tuple[int, bytes]]:
    """Some rows as JSON, with their places in the object."""
    chosen = frame[rows].with_columns(pl.selectors.binary().bin.encode("hex"))  # JSON has no bytes
    return list(zip((first + row for row in rows), chosen.write_ndjson().encode().splitlines(), strict=True))


def _texts(values: pl.Series, contract: Contract) -> pl.Series:
    """Values in their ISO spelling; lists of texts as they are, where they are a column's values."""
    dtype = values.dtype
    takes_lists = any(column.type == WORDS for column in contract.columns if column.source_name == values.name)
    if dtype == pl.String or (takes_lists and dtype == pl.List(pl.String)):
        return values
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        lists = ", a list of texts" if takes_lists else ""
        raise ContractError(
            f"column {values.name}: expected text{lists}, a time or a number, found {dtype}."
            " Have the object written with another type"
        )
    if isinstance(dtype, pl.Datetime):
        zone = "%:z" if dtype.time_zone else ""
        return values.dt.to_string(f"%Y-%m-%dT%H:%M:%S%.6f{zone}")
    return values.cast(pl.String)
