"""Records of CSV bytes: which are sound, with their texts, and what is wrong with those that are not.

`tasks/engine/formats/native/csv.c` has the grammar.
"""

import ctypes
import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.ledger import RejectedRow

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 << 20
"""The longest record that is read."""

MAX_COLUMNS = 100_000
"""The most columns that a header may name; a table of Postgres has at most 1,600."""

MOST_RECORDS, MOST_BYTES = 16_384, 1 << 20
"""Where one piece of records ends."""

_FIELD = re.compile(rb'(?:^|,)("(?:[^"]++|"")*+"|[^,]*+)')
_REASONS = {
    binding.QUOTE: "misplaced or unclosed quote",
    binding.NUL: "NUL byte",
    binding.UTF8: "not UTF-8",
    binding.RETURN: "stray carriage return",
}


class CsvRecords:
    """Some of the records of some bytes: no more than `MOST_RECORDS`, and no more bytes than `MOST_BYTES` and a record.

    These bounds hold the memory that the records take, whatever the bytes are. `read_records` reads all records.

    Args:
        data: The bytes.
        columns: Of the object.
        first_line: Physical line number at the first record.
        begin: Where the first record begins.
        is_last: Whether the object ends with these bytes.
        is_open: Whether a quote is known to stay open to the end of these bytes.

    Attributes:
        row_count: How many records are sound.
        rejected_count: How many are not.
        end: Where these records end.
        line: Physical line number there.
        is_full: Whether the bounds ended the reading: more records may follow in these bytes.
        is_open: Whether a quote stays open to the end of these bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
        ValueError: There are more bytes than can be read at once.
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
        """Line numbers and bytes of some of the sound records."""
        records = [self._found.rows[row] for row in rows]
        return [(record.line, self._bytes_of(record)) for record in records]

    def rejected(self) -> list[RejectedRow]:
        """The records that are not sound."""
        return [
            RejectedRow(record.line, None, self._reason_of(record), self._bytes_of(record))
            for record in self._found.rejected[: self.rejected_count]
        ]

    def batch(self) -> Batch:
        """The sound records as rows of texts, with the rejected ones."""
        names, size, address = tuple(self._columns.positions), 8, self._address()
        columns = [
            StringColumn(data=address, spans=(self._found.spans or 0) + place * size, stride=len(names))
            for place in range(len(names))
        ]
        texts = StringColumns(names, columns, self.row_count, self)
        return Batch(texts, self.records_of, self._columns, self.rejected())

    def _address(self) -> int:
        return (ctypes.cast(ctypes.c_char_p(self._data), ctypes.c_void_p).value or 0) + self._begin

    def _bytes_of(self, record: binding.Record) -> bytes:
        return self._data[self._begin + record.begin : self._begin + record.end]

    def _reason_of(self, record: binding.Record) -> str:
        width = f"expected {self._columns.width} fields, found {record.fields}"
        return _REASONS.get(record.error, width)


def read_records(
    data: bytes, columns: ColumnMatch, first_line: int = 1, *, is_last: bool = True
) -> Iterator[CsvRecords]:
    """Read all records of some bytes that begin with one, piece by piece.

    The last piece says where the records end: what follows is an unfinished record. There is at least one piece.

    Args:
        data: The bytes.
        columns: Of the object.
        first_line: Physical line number at their beginning.
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
    """The first line of a CSV object that is not blank.

    Attributes:
        names: Column names; none where the object has no such line.
        rest: Bytes after the line that were read already.
        line: Physical line number of what follows.
        is_last: Whether the object ends with these bytes.
    """

    names: list[str]
    rest: bytes
    line: int
    is_last: bool


def read_header(chunks: Iterator[tuple[bytes, bool]]) -> Header:
    """Read column names from an object's first line that is not blank, after its byte order mark.

    Args:
        chunks: The object's bytes from its beginning, each chunk with whether it is the last.

    Raises:
        UnreadableObjectError: The line is longer than `MAX_RECORD_BYTES`, or has more than `MAX_COLUMNS` columns.
    """
    text, line, is_last, has_begun = b"", 1, False, False
    while not is_last and not (has_begun and b"\n" in text):
        chunk, is_last = next(chunks)
        text += chunk
        if not has_begun and (len(text) >= len(BOM) or is_last):
            text, has_begun = text.removeprefix(BOM), True
        if has_begun:  # blank lines are not kept: there may be any number of them
            stripped = text.lstrip(b"\r\n")
            line += text.count(b"\n", 0, len(text) - len(stripped))
            text = stripped
        if b"\n" not in text:
            refuse_endless(len(text), line)
    first, newline, rest = text.partition(b"\n")
    first = first.removesuffix(b"\r")
    if first.count(b",") >= MAX_COLUMNS:
        raise UnreadableObjectError(
            f"line {line:,}, the header, has more than {MAX_COLUMNS:,} columns: expected the names of a table's"
            " columns. Check that the object is CSV with a header"
        )
    names = [_unquoted(field).decode(errors="replace").strip() for field in _FIELD.findall(first)] if text else []
    return Header(names, rest, line + len(newline), is_last)


def _unquoted(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def refuse_endless(length: int, line: int) -> None:
    """Refuse an object with so long a record.

    Raises:
        UnreadableObjectError: It is longer than `MAX_RECORD_BYTES`.
    """
    if length > MAX_RECORD_BYTES:
        raise UnreadableObjectError(
            f"line {line:,} begins a record of more than {MAX_RECORD_BYTES >> 20} MiB: expected records that end;"
            " check the line ends and the quotes of the object from there on"
        )
