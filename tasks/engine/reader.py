"""The reader: an object's bytes, as frames of strings under the contract's source names.

Bytes are taken in chunks, so memory does not grow with the object. In a chunk whose every line is a sound record, which
one pattern proves, polars parses all of them at once; only a chunk that holds anything else is taken apart record by
record.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.engine.columns import ColumnMatch, match_columns
from tasks.engine.csv_records import BOM, line_pattern, read_header, requoted, split_records
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.ledger import RejectedRow

CHUNK_BYTES = 4 << 20
PARQUET_ROWS = 32_768
COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class Batch:
    """Some consecutive records of an object.

    Attributes:
        frame: One column for each source of the contract; strings, or what a typed format delivers.
        line_numbers: Place of each row of the frame.
        raw_of: The bytes of the rows with these indexes.
        rejected: Records in between that could not become rows of the frame.
        columns: How the object's columns match the contract.
    """

    frame: pl.DataFrame
    line_numbers: pl.Series
    raw_of: Callable[[pl.Series], list[bytes]]
    columns: ColumnMatch
    rejected: list[RejectedRow] = field(default_factory=list)


def read_batches(file: io.BufferedReader, name: str, contract: Contract) -> Iterator[Batch]:
    """Read an object batch by batch.

    Args:
        file: Its bytes; seekable for parquet.
        name: Its name, which tells the format: `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`.
        contract: What its columns should be.

    Raises:
        ContractError: Columns are missing, doubled, or unknown where the contract forbids that.
        UnreadableObjectError: The bytes cannot be told apart into records.
    """
    stem, compression = name, None
    for suffix, codec in COMPRESSIONS.items():
        if name.endswith(suffix):
            stem, compression = name.removesuffix(suffix), codec
    try:
        if stem.endswith(".parquet") and compression is None:
            yield from _read_parquet(file, name, contract)
        elif stem.endswith(".csv"):
            plain = pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) if compression else file
            yield from _read_csv(plain, name, contract)
        else:
            raise ContractError(
                f"{name}: expected .csv, .csv.gz, .csv.zst or .parquet; set the dataset's key accordingly"
            )
    except (OSError, pa.ArrowException) as error:
        raise UnreadableObjectError(
            f"{name} cannot be read: {error}; nothing of it was loaded. Have it delivered again, whole"
        ) from error


def _read_csv(file: Any, name: str, contract: Contract) -> Iterator[Batch]:
    chunks = _chunks(file)
    pending, is_last = next(chunks)
    while (header := read_header(pending, is_last=is_last)) is None:
        chunk, is_last = next(chunks)
        pending += chunk
    names, consumed, line = header
    pending = pending[consumed:]
    columns = match_columns(contract, names, name) if names else None
    while columns:
        batch, consumed, lines = _csv_batch(pending, line, columns, is_last=is_last)
        line += lines
        if batch:
            yield batch
        if is_last:
            return
        rest = pending[consumed:]
        chunk, is_last = next(chunks)
        pending = rest + chunk


def _chunks(file: Any) -> Iterator[tuple[bytes, bool]]:
    """Chunks of a file, each with whether it is the last."""
    chunk = file.read(CHUNK_BYTES)
    while chunk:
        following = file.read(CHUNK_BYTES)
        yield chunk, not following
        chunk = following
    yield b"", True


def _csv_batch(data: bytes, first_line: int, columns: ColumnMatch, *, is_last: bool) -> tuple[Batch | None, int, int]:
    """The records of some bytes, how many of the bytes these are, and how many lines."""
    end = len(data) if is_last else data.rfind(b"\n") + 1
    whole = data[:end]
    lines = _sound_lines(whole, columns.width)
    if lines is not None:
        numbers = pl.int_range(first_line, first_line + len(lines), eager=True)
        frame = columns.select(_parse(whole, columns.width))
        return Batch(frame, numbers, _encode_lines(lines), columns), end, len(lines)
    found = split_records(data, first_line, columns.width, is_last=is_last)
    numbers = pl.Series([number for number, _ in found.sound], dtype=pl.Int64)
    records = [raw for _, raw in found.sound]
    frame = columns.select(_parse(b"\n".join(map(requoted, records)), columns.width))
    batch = Batch(frame, numbers, lambda rows: [records[row] for row in rows], columns, found.rejected)
    return (batch if records or found.rejected else None), found.consumed, found.lines


def _sound_lines(data: bytes, width: int) -> pl.Series | None:
    """The lines of some bytes where each of them is one sound record; else None."""
    if not data:
        return None
    try:
        lines = _polars_csv(data, {"line": pl.String}, quote_char=None, separator="\x01").to_series()
        return lines if lines.str.contains(line_pattern(width)).sum() == len(lines) else None
    except pl.exceptions.PolarsError:
        return None


def _encode_lines(lines: pl.Series) -> Callable[[pl.Series], list[bytes]]:
    return lambda rows: [line.encode() for line in lines.gather(rows)]


def _parse(data: bytes, width: int) -> pl.DataFrame:
    """Sound records as strings; a bare empty field is null, a quoted one is an empty string."""
    schema = {str(index): pl.String for index in range(width)}
    if not data:
        return pl.DataFrame(schema=schema)
    return _polars_csv(data, schema)


def _polars_csv(data: bytes, schema: dict[str, type[pl.String]], **dialect: Any) -> pl.DataFrame:
    if data.startswith(BOM):  # polars takes one away, but these are a value's: the object's own is gone by now
        data = BOM + data
    return pl.read_csv(data, has_header=False, schema=schema, infer_schema=False, **dialect)


def _read_parquet(file: io.BufferedReader, name: str, contract: Contract) -> Iterator[Batch]:
    parquet = pq.ParquetFile(pa.PythonFile(file, "r"))
    columns = match_columns(contract, parquet.schema_arrow.names, name)
    first = 1
    for arrow in parquet.iter_batches(batch_size=PARQUET_ROWS):
        whole = pl.DataFrame(arrow)
        frame = columns.select(whole)
        numbers = pl.int_range(first, first + len(frame), eager=True)
        yield Batch(frame, numbers, _encode_rows(whole), columns)
        first += len(frame)


def _encode_rows(frame: pl.DataFrame) -> Callable[[pl.Series], list[bytes]]:
    frame = frame.with_columns(pl.selectors.binary().bin.encode("hex"))  # JSON has no bytes
    return lambda rows: frame[rows].write_ndjson().encode().splitlines()
