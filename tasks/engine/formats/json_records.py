"""JSON records: splits NDJSON into lines."""

from collections.abc import Iterator
from typing import Any

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.csv_records import BOM, MAX_RECORD_BYTES

Record = tuple[int, bytes]
"""Physical line number of a record's first byte, and the record's bytes."""

LINES_BYTES = 1 << 18
"""Number of bytes of NDJSON that are split into lines at once. Each line, however short, becomes a Python object."""


def read_lines(file: Any, name: str) -> Iterator[Record]:
    """Yield the nonblank lines of NDJSON without their line ends.

    Raises:
        UnreadableObjectError: A line is longer than `MAX_RECORD_BYTES`.
    """
    line, rest, size = 1, [b""], 0
    while chunk := file.read(LINES_BYTES):
        first, *lines = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > MAX_RECORD_BYTES:
            raise unreadable(name, line, f"expected a line of at most {MAX_RECORD_BYTES >> 20} MiB, found a longer one")
        if not lines:
            continue
        yield from _line(b"".join(rest), line)
        *lines, last = lines
        for number, raw in enumerate(lines, line + 1):
            yield from _line(raw, number)
        line, rest, size = line + 1 + len(lines), [last], len(last)
    yield from _line(b"".join(rest), line)


def _line(raw: bytes, line: int) -> Iterator[Record]:
    """Yield a line as a record, unless the line is blank."""
    raw = raw.removeprefix(BOM) if line == 1 else raw
    if raw and not raw.isspace():
        yield line, raw.removesuffix(b"\r")


def unreadable(name: str, line: int, text: str) -> UnreadableObjectError:
    """Return the error of an object that cannot be split into records.

    Args:
        name: The object.
        line: The line where it fails.
        text: What was expected, and what was found.
    """
    return UnreadableObjectError(f"{name}, line {line:,}: {text}. Nothing was loaded. Deliver the object again")
