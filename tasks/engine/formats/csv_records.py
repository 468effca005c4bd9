"""CSV records: splits bytes into valid records, and rejects malformed records with a reason.

`tasks/engine/formats/native/csv.c` defines the grammar.
"""

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tasks.contracts.formats import Csv
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.encodings import not_text
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

PLAIN = Csv()
BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 << 20
"""Maximum length of a record."""

MOST_RECORDS, MOST_BYTES = 16_384, 1 << 20
"""Limits of one `CsvRecords`."""

_REASONS = {
    binding.QUOTE: Reason(ReasonCode.BAD_QUOTE, "misplaced or unclosed quote"),
    binding.NUL: Reason(ReasonCode.NUL_BYTE, "NUL byte"),
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
        dialect: The dialect of the object.
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
        dialect: Csv = PLAIN,
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
        self._data, self._columns, self._begin, self._csv = data, columns, begin, dialect
        self._dialect = _dialect(dialect)
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
            dialect=self._dialect,
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
            StringColumn(
                data=address,
                spans=(self._found.spans or 0) + place * size,
                stride=len(names),
                quote=self._dialect.quote,
                escape=self._dialect.escape,
                style=self._dialect.style,
            )
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
        if record.error == binding.UTF8:
            return not_text(self._csv.encoding)
        if record.error in _REASONS:
            return _REASONS[record.error]
        width = self._columns.width
        code = ReasonCode.TOO_MANY_FIELDS if record.fields > width else ReasonCode.TOO_FEW_FIELDS
        most = "at most " if self._csv.short_records else ""
        expected = f"{most}{width} fields{' and a delimiter after them' if self._csv.trailing_delimiter else ''}"
        return Reason(code, f"expected {expected}, found {record.fields}")


@lru_cache
def _dialect(dialect: Csv) -> binding.Dialect:
    style = binding.ESCAPES_QUOTED if dialect.quote else binding.ESCAPES_TEXT
    return binding.Dialect(
        delimiter=ord(dialect.delimiter),
        quote=ord(dialect.quote or "\0"),
        escape=ord(dialect.escape or "\0"),
        style=binding.ESCAPES_ALL if dialect.escapes_unquoted else style if dialect.escape else binding.ESCAPES_QUOTED,
        has_trailing=dialect.trailing_delimiter,
        has_short=dialect.short_records,
        comment=dialect.comment.encode(),
        comment_size=len(dialect.comment),
    )


def read_records(
    data: bytes, columns: ColumnMatch, first_line: int = 1, *, dialect: Csv = PLAIN, is_last: bool = True
) -> Iterator[CsvRecords]:
    """Read all records in some bytes, group by group. Yields at least one group.

    The `end` of the last group is the end of the last complete record. An unfinished record may follow.

    Args:
        data: The bytes, which start at the beginning of a record.
        columns: The columns of the object.
        first_line: Physical line number of the first record.
        dialect: The dialect of the object.
        is_last: Whether the object ends with these bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
    """
    piece = CsvRecords(data, columns, first_line, dialect=dialect, is_last=is_last)
    yield piece
    while piece.is_full:
        begin, is_open = piece.end, piece.is_open
        piece = CsvRecords(data, columns, piece.line, dialect=dialect, begin=begin, is_last=is_last, is_open=is_open)
        yield piece


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
