"""Records of CSV bytes: which are sound, with their texts, and what is wrong with those that are not.

`tasks/engine/native/csv.c` has the grammar.
"""

import ctypes
import re
import weakref
from collections.abc import Iterator, Sequence

from tasks.engine.batches import Batch
from tasks.engine.columns import ColumnMatch
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.ledger import RejectedRow
from tasks.engine.native import binding
from tasks.engine.native.binding import TextColumn, library
from tasks.engine.texts import Texts

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 << 20
"""The longest record that is read."""

_FIELD = re.compile(rb'(?:^|,)("(?:[^"]++|"")*+"|[^,]*+)')
_REASONS = {
    binding.QUOTE: "misplaced or unclosed quote",
    binding.NUL: "NUL byte",
    binding.UTF8: "not UTF-8",
    binding.RETURN: "stray carriage return",
}


class CsvRecords:
    """The records of some bytes that begin with one.

    Args:
        data: The bytes.
        columns: Of the object.
        first_line: Physical line number at their beginning.
        is_last: Whether the object ends with these bytes.

    Attributes:
        row_count: How many are sound.
        consumed: How many bytes the records are; what follows is an unfinished one.
        lines: How many physical lines these bytes are.
        rejected: Those that are not sound.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
    """

    def __init__(self, data: bytes, columns: ColumnMatch, first_line: int = 1, *, is_last: bool = True) -> None:
        places = (ctypes.c_int32 * columns.width)(*[-1] * columns.width)
        for place, position in enumerate(columns.positions.values()):
            places[position] = place
        wanted, longest = len(columns.positions), MAX_RECORD_BYTES
        found = library.csv_read(data, len(data), is_last, first_line, columns.width, places, wanted, longest)
        if not found:
            raise MemoryError(f"no memory for the records of {len(data):,} bytes")
        weakref.finalize(self, library.csv_free, found)
        self._data, self._columns, self._found = data, columns, found.contents
        self.row_count: int = self._found.row_count
        self.consumed: int = self._found.consumed
        self.lines: int = self._found.lines
        if self._found.is_endless:
            refuse_endless(len(data) - self.consumed, first_line + self.lines)
        self.rejected = list(self._rejected())

    def records_of(self, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        """Line numbers and bytes of some of the sound records."""
        records = [self._found.rows[row] for row in rows]
        return [(record.line, self._data[record.begin : record.end]) for record in records]

    def batch(self) -> Batch:
        """The sound records as rows of texts."""
        names = tuple(self._columns.positions)
        size, address = 8, ctypes.cast(ctypes.c_char_p(self._data), ctypes.c_void_p).value
        columns = [
            TextColumn(data=address, spans=(self._found.spans or 0) + place * size, stride=len(names))
            for place in range(len(names))
        ]
        texts = Texts(names, columns, self.row_count, self)
        return Batch(texts, self.records_of, self._columns, self.rejected)

    def _rejected(self) -> Iterator[RejectedRow]:
        for record in self._found.rejected[: self._found.rejected_count]:
            width = f"expected {self._columns.width} fields, found {record.fields}"
            reason = _REASONS.get(record.fault, width)
            yield RejectedRow(record.line, None, reason, self._data[record.begin : record.end])


def read_header(data: bytes, *, is_last: bool) -> tuple[list[str], int, int] | None:
    """Column names from an object's first line that is not blank, behind its byte order mark.

    Args:
        data: The object's beginning.
        is_last: Whether the object ends with these bytes.

    Returns:
        The names, none where the object has no such line; how many bytes the header ends behind; and the number of the
        line that follows. None where the line goes on in bytes not read yet.

    Raises:
        UnreadableObjectError: The line is longer than `MAX_RECORD_BYTES`.
    """
    text = data.removeprefix(BOM).lstrip(b"\r\n")
    begin = len(data) - len(text)
    newline = text.find(b"\n")
    if newline < 0 and not is_last:
        refuse_endless(len(text), 1 + data.count(b"\n", 0, begin))
        return None
    line, end = (text, len(data)) if newline < 0 else (text[:newline], begin + newline + 1)
    names = [_unquoted(field).decode(errors="replace").strip() for field in _FIELD.findall(line.removesuffix(b"\r"))]
    return (names if text else []), end, 1 + data.count(b"\n", 0, end)


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
