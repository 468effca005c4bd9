"""CSV: an object's bytes as frames of strings.

In a chunk whose every line is a sound record, which one pattern proves, polars parses all of them at once; only a chunk
that holds anything else is taken apart record by record.
"""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from tasks.contracts import Contract
from tasks.engine.batches import Batch
from tasks.engine.columns import ColumnMatch, match_columns
from tasks.engine.csv_records import BOM, Records, line_pattern, read_header, requoted, split_records

CHUNK_BYTES = 4 << 20


def read_csv(file: Any, name: str, contract: Contract) -> Iterator[Batch]:
    """Read CSV; see `tasks.engine.reader.read_batches`."""
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
    batch = csv_batch(found, columns) if found.sound or found.rejected else None
    return batch, found.consumed, found.lines


def csv_batch(found: Records, columns: ColumnMatch) -> Batch:
    """Records as a frame."""
    numbers = pl.Series([number for number, _ in found.sound], dtype=pl.Int64)
    records = [raw for _, raw in found.sound]
    frame = columns.select(_parse(b"\n".join(map(requoted, records)), columns.width))
    return Batch(frame, numbers, lambda rows: [records[row] for row in rows], columns, found.rejected)


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
