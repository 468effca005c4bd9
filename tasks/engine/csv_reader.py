"""CSV: an object's bytes as frames of strings.

A line that is a sound record, which one pattern proves, goes to polars as it is, together with all others of its chunk.
Only where a line is none, a record is taken apart byte by byte, until the next one begins at a line that is.
"""

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from tasks.contracts import Contract
from tasks.engine.batches import Batch
from tasks.engine.columns import ColumnMatch, match_columns
from tasks.engine.csv_records import BOM, RecordReader, Records, line_pattern, read_header, requoted
from tasks.engine.ledger import RejectedRow

CHUNK_BYTES = 16 << 20
"""The most that is read at once."""


def read_csv(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read CSV; see `tasks.engine.reader.read_batches`."""
    chunks = _chunks(file, min(chunk_bytes, CHUNK_BYTES))
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
        del batch  # before the next one is made
        if is_last:
            return
        pending = pending[consumed:]
        chunk, is_last = next(chunks)
        pending += chunk
        del chunk


def _chunks(file: Any, chunk_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Chunks of a file, each with whether it is the last, which is empty."""
    is_last = False
    while not is_last:
        chunk = file.read(chunk_bytes)
        is_last = not chunk  # a short one proves nothing: more may follow
        yield chunk, is_last


def _csv_batch(data: bytes, first_line: int, columns: ColumnMatch, *, is_last: bool) -> tuple[Batch | None, int, int]:
    """The records of some bytes, how many of the bytes these are, and how many lines."""
    end = len(data) if is_last else data.rfind(b"\n") + 1
    whole = data[:end]
    lines, is_sound = _lines(whole, columns.width)
    if not is_sound.all() or lines.is_empty():
        return _mended_batch(data, first_line, columns, is_sound, is_last=is_last)
    numbers = pl.int_range(first_line, first_line + len(lines), eager=True)
    frame = columns.select(_parse(whole, columns.width))
    batch = Batch(frame, numbers, lambda rows: [line.encode() for line in lines.gather(rows)], columns)
    return batch, end, len(lines)


def _mended_batch(
    data: bytes, first_line: int, columns: ColumnMatch, is_sound: pl.Series, *, is_last: bool
) -> tuple[Batch | None, int, int]:
    """The same where not every line is a sound record: what begins at one that is none is read with care."""
    starts = [0, *(newline.end() for newline in re.finditer(b"\n", data))][: len(is_sound)]
    starts.append(len(data) if is_last else data.rfind(b"\n") + 1)
    reader = RecordReader(data, columns.width, is_last=is_last)
    pieces: list[bytes] = []
    numbers: list[int] = []
    with_care: dict[int, bytes] = {}
    rejected: list[RejectedRow] = []
    line, position = 0, 0
    for unsound in [*(~is_sound).arg_true(), len(is_sound)]:
        if unsound < line:
            continue  # inside of the record that was read last
        pieces.append(data[starts[line] : starts[unsound]])
        numbers += range(first_line + line, first_line + unsound)
        line, position = unsound, starts[unsound]
        record = reader.read(position, first_line + line) if position < len(data) else None
        if record is None:
            break
        if record.fault:
            rejected.append(RejectedRow(first_line + line, None, record.fault, record.raw))
        elif record.raw:
            with_care[len(numbers)] = record.raw
            numbers.append(first_line + line)
            pieces.append(requoted(record.raw) + b"\n")
        line, position = line + record.lines, record.end

    def raw_of(rows: pl.Series) -> list[bytes]:
        places = ((row, numbers[row] - first_line) for row in rows)
        return [with_care.get(row) or data[starts[at] : starts[at + 1]].rstrip(b"\r\n") for row, at in places]

    frame = columns.select(_parse(b"".join(pieces), columns.width))
    batch = Batch(frame, pl.Series(numbers, dtype=pl.Int64), raw_of, columns, rejected)
    return (batch if numbers or rejected else None), position, line


def csv_batch(found: Records, columns: ColumnMatch) -> Batch:
    """Records as a frame."""
    numbers = pl.Series([number for number, _ in found.sound], dtype=pl.Int64)
    records = [raw for _, raw in found.sound]
    frame = columns.select(_parse(b"\n".join(map(requoted, records)), columns.width))
    return Batch(frame, numbers, lambda rows: [records[row] for row in rows], columns, found.rejected)


def _lines(data: bytes, width: int) -> tuple[pl.Series, pl.Series]:
    """The physical lines of some bytes, and which of them are sound records."""
    no_text = pl.lit(False)
    try:
        lines = pl.read_lines(data)
    except pl.exceptions.PolarsError:
        lines = pl.read_lines(data.decode(errors="replace").encode())
        no_text = pl.col("line").str.contains("\ufffd", literal=True)  # a line may also hold this as a character
    try:
        is_sound = lines.select(pl.col("line").str.contains(line_pattern(width)) & ~no_text).to_series()
    except pl.exceptions.PolarsError:  # a pattern of thousands of fields is more than polars takes
        is_sound = pl.repeat(False, len(lines), eager=True)
    return lines.to_series(), is_sound


def _parse(data: bytes, width: int) -> pl.DataFrame:
    """Sound records as strings; a bare empty field is null, a quoted one is an empty string."""
    schema = {str(index): pl.String for index in range(width)}
    if not data:
        return pl.DataFrame(schema=schema)
    if data.startswith(BOM):  # polars takes one away, but this one is a value's: the object's own is gone by now
        data = BOM + data
    return pl.read_csv(data, has_header=False, schema=schema, infer_schema=False)
