"""Records of CSV bytes: where they end, which are sound, and what is wrong with those that are not.

The grammar is RFC 4180 with LF or CRLF line ends; a quote inside an unquoted field is data. What does not fit the
grammar, or is no text, rejects its own record, or, where a quote does not close as it should, its first physical line;
reading goes on with what follows.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.ledger import RejectedRow

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 << 20
"""The longest record that is read."""

# Possessive (`++`, `*+`): never scanned twice, whatever the bytes.
_FIELD = rb'(?:"(?:[^"]++|"")*+"|[^",\n][^,\n]*+|)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+\r?(?:\n|\Z)")
_SPLIT = re.compile(rb'(?:^|,)("(?:[^"]++|"")*+"|[^,]*+)')
# What a record may look like so far when the bytes at hand end inside of it.
_UNFINISHED = re.compile(_FIELD + rb"(?:," + _FIELD + rb')*+(?:,?"(?:[^"]++|"")*+)?+\r?\Z')


@lru_cache(maxsize=64)
def line_pattern(width: int) -> str:
    """The pattern of a record of this many fields on one line that polars reads as we do: no quote in a bare field."""
    bare = rf'[^",\r\n\x00]{"*" if width > 1 else "+"}'  # a blank line is no record
    field = rf'(?:"(?:[^"\x00]|"")*"|{bare})'
    return f"^{field}(?:,{field}){{{width - 1}}}$"


@dataclass(frozen=True)
class Record:
    """One record, or one blank line.

    Attributes:
        raw: Its bytes without the line end; empty for a blank line.
        fault: What is wrong with it; None for a sound one.
        end: Where it ends in the bytes, behind its line end.
        lines: How many physical lines it takes.
    """

    raw: bytes
    fault: str | None
    end: int
    lines: int


class RecordReader:
    """Reads records out of some bytes, each from where it begins.

    Args:
        data: The bytes.
        width: How many fields a record must have.
        is_last: Whether the object ends with these bytes.
    """

    def __init__(self, data: bytes, width: int, *, is_last: bool) -> None:
        self._data, self._width, self._is_last = data, width, is_last
        # Once a quote was seen to stay open to the end, one that is open at a later line's end stays open as well: no
        # record is looked for beyond its line, or a file full of such lines would be scanned once for each of them.
        self._is_open_to_the_end = False

    def read(self, position: int, line: int) -> Record | None:
        """The record that begins at a position; None where it goes on in bytes that are not here yet.

        Args:
            position: Where it begins; before the end of the bytes.
            line: Physical line number there, for the message.

        Raises:
            UnreadableObjectError: The record is longer than `MAX_RECORD_BYTES`.
        """
        data = self._data
        match, end = self._match(position)
        if end is None:
            _refuse_endless(len(data) - position, line)
            return None
        raw = _without_line_end(data[position:end])
        fault = None
        if raw:
            fault = _fault(raw, self._width) if match else "misplaced or unclosed quote"
        return Record(raw, fault, end, data.count(b"\n", position, end) + (not data.endswith(b"\n", position, end)))

    def _match(self, position: int) -> tuple[bool, int | None]:
        """Whether a record fits the grammar, and where it ends; it ends nowhere yet where it is unfinished."""
        data, is_last = self._data, self._is_last
        end = _line_end(data, position)
        if not is_last and not data.endswith(b"\n", position, end):
            return False, None
        scan_end = end if self._is_open_to_the_end else len(data)
        match = _RECORD.match(data, position, scan_end)
        if match and (is_last or data.endswith(b"\n", position, match.end())):
            return True, match.end()
        if _UNFINISHED.match(data, position, scan_end):
            # A quote that stays open for longer than a record can be was never closed.
            if not is_last and len(data) - position <= MAX_RECORD_BYTES:
                return False, None
            self._is_open_to_the_end = True
        return False, end


@dataclass
class Records:
    """What was found in some bytes.

    Attributes:
        sound: First line number and bytes of each record that has the right number of fields.
        rejected: The others.
        consumed: How many bytes these records are; what follows is an unfinished record.
        lines: How many physical lines these bytes are.
    """

    sound: list[tuple[int, bytes]]
    rejected: list[RejectedRow]
    consumed: int = 0
    lines: int = 0


def split_records(data: bytes, first_line: int, width: int, *, is_last: bool) -> Records:
    """Find the records of some bytes that begin with one, one by one.

    Args:
        data: The bytes.
        first_line: Physical line number at their beginning.
        width: How many fields a record must have.
        is_last: Whether the object ends with these bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
    """
    found = Records([], [])
    reader = RecordReader(data, width, is_last=is_last)
    while found.consumed < len(data):
        line = first_line + found.lines
        record = reader.read(found.consumed, line)
        if record is None:
            break
        if record.fault:
            found.rejected.append(RejectedRow(line, None, record.fault, record.raw))
        elif record.raw:
            found.sound.append((line, record.raw))
        found.consumed, found.lines = record.end, found.lines + record.lines
    return found


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
    end = _line_end(data, begin)
    if not is_last and not data.endswith(b"\n", begin, end):
        _refuse_endless(len(text), 1 + data.count(b"\n", 0, begin))
        return None
    names = [name.decode(errors="replace").strip() for name in split_fields(_without_line_end(data[begin:end]))]
    return (names if text else []), end, 1 + data.count(b"\n", 0, end)


def split_fields(raw: bytes) -> list[bytes]:
    """Fields of one sound record, without their quotes."""
    fields = _SPLIT.findall(raw)
    return [field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field for field in fields]


def requoted(raw: bytes) -> bytes:
    """The same sound record with every bare field that holds a quote in quotes, which polars cannot read otherwise."""
    if b'"' not in raw:
        return raw
    return b",".join(
        b'"%b"' % field.replace(b'"', b'""') if b'"' in field and not field.startswith(b'"') else field
        for field in _SPLIT.findall(raw)
    )


def _refuse_endless(length: int, line: int) -> None:
    if length > MAX_RECORD_BYTES:
        raise UnreadableObjectError(
            f"line {line:,} begins a record of more than {MAX_RECORD_BYTES >> 20} MiB: expected records that end;"
            " check the line ends and the quotes of the object from there on"
        )


def _line_end(data: bytes, position: int) -> int:
    newline = data.find(b"\n", position)
    return len(data) if newline < 0 else newline + 1


def _without_line_end(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def _fault(raw: bytes, width: int) -> str | None:
    fields = _SPLIT.findall(raw)
    if len(fields) != width:
        return f"expected {width} fields, found {len(fields)}"
    if b"\0" in raw:
        return "NUL byte"
    if not _is_utf8(raw):
        return "not UTF-8"
    if b"\r" in raw and any(b"\r" in field for field in fields if not field.startswith(b'"')):
        return "stray carriage return"
    return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
