"""Records of CSV bytes: where they end, which are sound, and what is wrong with those that are not.

The grammar is RFC 4180 with LF or CRLF line ends; a quote inside an unquoted field is data. What does not fit the
grammar rejects its own record, or, where a quote never closes as it should, its first physical line, and reading goes
on with the next line.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.ledger import RejectedRow

MAX_RECORD_BYTES = 16 << 20
"""The longest record that is read."""

# Possessive (`++`, `*+`): never scanned twice, whatever the bytes.
_FIELD = rb'(?:"(?:[^"\0]++|"")*+"|[^",\r\n\0][^,\r\n\0]*+|)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+(?:\r?\n|\Z)")
_SPLIT = re.compile(rb'(?:^|,)("(?:[^"\0]++|"")*+"|[^,]*+)')
# What a record may look like so far when the bytes at hand end inside of it.
_UNFINISHED = re.compile(_FIELD + rb"(?:," + _FIELD + rb')*+(?:,?"(?:[^"\0]++|"")*+)?+\r?\Z')


@lru_cache(maxsize=64)
def line_pattern(width: int) -> str:
    """The pattern, for polars, of a sound record of this many fields that stands on one line."""
    field = r'(?:"(?:[^"\x00]|"")*"|[^",\r\n\x00][^,\r\n\x00]*|)'
    return f"^{field}(?:,{field}){{{width - 1}}}$"


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
    """Find the records of some bytes that begin with one.

    Args:
        data: The bytes.
        first_line: Physical line number at their beginning.
        width: How many fields a record must have.
        is_last: Whether the object ends with these bytes.

    Raises:
        UnreadableObjectError: A record is longer than `MAX_RECORD_BYTES`.
    """
    found = Records([], [])
    position, line = 0, first_line
    while position < len(data):
        match = _RECORD.match(data, position)
        sound = match is not None and (is_last or data.endswith(b"\n", position, match.end()))
        if not sound and not is_last and _may_continue(data, position):
            break
        end = match.end() if match and sound else _line_end(data, position)
        raw = _without_line_end(data[position:end])
        if raw:
            fault = _fault(raw, width) if sound else _line_fault(raw)
            if fault:
                found.rejected.append(RejectedRow(line, None, fault, raw))
            else:
                found.sound.append((line, raw))
        line += data.count(b"\n", position, end)
        position = end
    if len(data) - position > MAX_RECORD_BYTES:
        raise UnreadableObjectError(
            f"line {line:,} begins a record of more than {MAX_RECORD_BYTES >> 20} MiB: expected records that end;"
            " check the line ends and the quotes of the object from there on"
        )
    found.consumed, found.lines = position, line - first_line
    return found


def split_fields(raw: bytes) -> list[bytes]:
    """Fields of one sound record, without their quotes."""
    fields = _SPLIT.findall(raw)
    return [field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field for field in fields]


def _may_continue(data: bytes, position: int) -> bool:
    """Whether the rest of the bytes may be the beginning of a record that goes on in bytes not read yet."""
    if _UNFINISHED.match(data, position) is None:
        return False
    # A quote that stays open for this long was never closed; a long line without one is told to the reader.
    return len(data) - position <= MAX_RECORD_BYTES or data.find(b"\n", position) < 0


def _line_end(data: bytes, position: int) -> int:
    newline = data.find(b"\n", position)
    return len(data) if newline < 0 else newline + 1


def _without_line_end(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def _fault(raw: bytes, width: int) -> str | None:
    count = len(split_fields(raw))
    if count != width:
        return f"expected {width} fields, found {count}"
    return None if _is_utf8(raw) else "not UTF-8"


def _line_fault(raw: bytes) -> str:
    if b"\0" in raw:
        return "NUL byte"
    if not _is_utf8(raw):
        return "not UTF-8"
    if b"\r" in raw:
        return "stray carriage return"
    return "misplaced or unclosed quote"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
