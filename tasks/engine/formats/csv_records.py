"""CSV records: splits bytes into valid records, and rejects malformed records with a reason.

`tasks/engine/formats/native/csv.c` defines the grammar.
"""

import ctypes
import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 << 20
"""Maximum length of a record."""

MAX_COLUMNS = 100_000
"""Maximum number of columns in a header. A Postgres table has at most 1,600 columns."""

MOST_RECORDS, MOST_BYTES = 16_384, 1 << 20
"""Limits of one `CsvRecords`."""

_FIELD = re.compile(rb'(?:^|,)("(?:[^"]++|"")*+"|[^,]*+)')
_REASONS = {
    binding.QUOTE: Reason(ReasonCode.BAD_QUOTE, "misplaced or unclosed quote"),
    binding.NUL: Reason(ReasonCode.NUL_BYTE, "NUL byte"),
    binding.UTF8: Reason(ReasonCode.NOT_UTF8, "not UTF-8"),
    binding.RETURN: Reason(ReasonCode.STRAY_CARRIAGE_RETURN, "stray carriage return"),
}


class CsvRecords:
    """A group of consecutive records in some bytes.

    Reading stops after `MOST_RECORDS` records, or with the record that reaches `MOST_BYTES` bytes. These limits bound
    the memory use for any input. `read_records` reads all records.

    Args:
        data: The bytes.
        columns: The columns of the object.
        first_line: Physical line number of the first record.
        begin: Offset of the first record in `data`.
        is_last: Whether the object ends with these bytes.
        is_open: Whether an earlier call found a quote that is still open at the end of these bytes.

    Attributes:
        row_count: Number of valid records.
        rejected_count: Number of malformed records.
        end: Offset after the last record of the group.
        line: Physical line number at that offset.
        is_full: Whether a limit stopped the reading. The bytes may then contain more records.
        is_open: Whether a quote is still open at the end of the bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
        ValueError: `data` is longer than one call can process.
    """

    def __init__(
        self,
        data: bytes,
        columns: ColumnMatch,
        first_line: int = 1,
        *,
        begin: int = 0,
        is_last: bool = True,
        is_open: bool = False,
    ) -> None:
        size = len(data) - begin
        if size > binding.MOST_CSV_BYTES:
            raise ValueError(
                f"expected at most {binding.MOST_CSV_BYTES:,} bytes of CSV at once, found {size:,}."
                " Read the object in smaller chunks"
            )
        self._data, self._columns, self._begin = data, columns, begin
        places = (ctypes.c_int32 * columns.width)(*[-1] * columns.width)
        for place, position in enumerate(columns.positions.values()):
            places[position] = place
        given = binding.CsvInput(
            data=self._address(),
            size=size,
            first_line=first_line,
            places=places,
            width=columns.width,
            wanted=len(columns.positions),
            longest=MAX_RECORD_BYTES,
            most_records=MOST_RECORDS,
            most_bytes=MOST_BYTES,
            is_last=is_last,
            is_open=is_open,
        )
        found = library.csv_read(given)
        if not found:
            raise MemoryError(f"no memory for the records of {size:,} bytes")
        weakref.finalize(self, library.csv_free, found)
        self._found = found.contents
        self.row_count: int = self._found.row_count
        self.rejected_count: int = self._found.rejected_count
        self.end: int = begin + self._found.consumed
        self.line: int = first_line + self._found.lines
        self.is_full: bool = self._found.is_full
        self.is_open: bool = self._found.is_open
        if self._found.is_endless:
            refuse_endless(len(data) - self.end, self.line)

    def records_of(self, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the line numbers and the bytes of the valid records at the given positions."""
        records = [self._found.rows[row] for row in rows]
        return [(record.line, self._bytes_of(record)) for record in records]

    def rejected(self) -> list[RejectedRow]:
        """Return the malformed records."""
        return [
            RejectedRow(record.line, None, self._reason_of(record), self._bytes_of(record))
            for record in self._found.rejected[: self.rejected_count]
        ]

    def batch(self) -> Batch:
        """Return the valid and the malformed records as a batch."""
        names, size, address = tuple(self._columns.positions), 8, self._address()
        columns = [
            StringColumn(data=address, spans=(self._found.spans or 0) + place * size, stride=len(names))
            for place in range(len(names))
        ]
        texts = StringColumns(names, columns, self.row_count, self)
        first = ctypes.cast(self._found.rows, ctypes.c_void_p).value
        lines = LineNumbers(first and first + binding.Record.line.offset, ctypes.sizeof(binding.Record), self)
        return Batch(texts, self.records_of, self._columns, lines, self.rejected())

    def _address(self) -> int:
        return (ctypes.cast(ctypes.c_char_p(self._data), ctypes.c_void_p).value or 0) + self._begin

    def _bytes_of(self, record: binding.Record) -> bytes:
        return self._data[self._begin + record.begin : self._begin + record.end]

    def _reason_of(self, record: binding.Record) -> Reason:
        if record.error in _REASONS:
            return _REASONS[record.error]
        width = self._columns.width
        code = ReasonCode.TOO_MANY_FIELDS if record.fields > width else ReasonCode.TOO_FEW_FIELDS
        return Reason(code, f"expected {width} fields, found {record.fields}")


def read_records(
    data: bytes, columns: ColumnMatch, first_line: int = 1, *, is_last: bool = True
) -> Iterator[CsvRecords]:
    """Read all records in some bytes, group by group. Yields at least one group.

    The `end` of the last group is the end of the last complete record. An unfinished record may follow.

    Args:
        data: The bytes, which start at the beginning of a record.
        columns: The columns of the object.
        first_line: Physical line number of the first record.
        is_last: Whether the object ends with these bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
    """
    piece = CsvRecords(data, columns, first_line, is_last=is_last)
    yield piece
    while piece.is_full:
        piece = CsvRecords(data, columns, piece.line, begin=piece.end, is_last=is_last, is_open=piece.is_open)
        yield piece


@dataclass(frozen=True)
class Header:
    """The header of a CSV object: its first line that is not blank.

    Attributes:
        names: Column names. Empty if the object has no such line.
        rest: Bytes after the header that were already read.
        line: Physical line number of the first byte of `rest`.
        is_last: Whether the object ends with these bytes.
    """

    names: list[str]
    rest: bytes
    line: int
    is_last: bool


def read_header(chunks: Iterator[tuple[bytes, bool]]) -> Header:
    """Read the header of an object. A byte order mark is skipped.

    Args:
        chunks: Chunks of the object from its beginning, each with a flag for the last chunk.

    Raises:
        UnreadableObjectError: The line is longer than `MAX_RECORD_BYTES`, or has more than `MAX_COLUMNS` columns.
    """
    text, line, is_last, has_begun = b"", 1, False, False
    while not is_last and not (has_begun and b"\n" in text):
        chunk, is_last = next(chunks)
        text += chunk
        if not has_begun and (len(text) >= len(BOM) or is_last):
            text, has_begun = text.removeprefix(BOM), True
        if has_begun:  # drop blank lines at once: an object may begin with any number of them
            stripped = text.lstrip(b"\r\n")
            line += text.count(b"\n", 0, len(text) - len(stripped))
            text = stripped
        if b"\n" not in text:
            refuse_endless(len(text), line)
    first, newline, rest = text.partition(b"\n")
    first = first.removesuffix(b"\r")
    if first.count(b",") >= MAX_COLUMNS:
        raise UnreadableObjectError(
            f"line {line:,}: expected a header with at most {MAX_COLUMNS:,} columns, found more. Check that the object"
            " is CSV with a header"
        )
    names = [_unquoted(field).decode(errors="replace").strip() for field in _FIELD.findall(first)] if text else []
    return Header(names, rest, line + len(newline), is_last)


def _unquoted(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def refuse_endless(length: int, line: int) -> None:
    """Refuse an object with an overlong record.

    Raises:
        UnreadableObjectError: The record is longer than `MAX_RECORD_BYTES`.
    """
    if length > MAX_RECORD_BYTES:
        raise UnreadableObjectError(
            f"line {line:,}: expected a record of at most {MAX_RECORD_BYTES >> 20} MiB, found a longer record. Check"
            " the line ends and the quotes of the object from this line on"
        )
