"""A simple CSV reader, byte by byte: the independent reference for the tests of the engine's reader."""

from collections.abc import Iterator
from dataclasses import dataclass

Fields = list[str | None]


@dataclass(frozen=True)
class Record:
    """One record. `fields` is None for a rejected record with its `reason`; an unquoted empty field is None."""

    line_number: int
    raw: bytes
    fields: Fields | None
    reason: str | None


def read_plain(data: bytes, width: int, first_line: int = 1) -> list[Record]:
    """Read the records after a header with a number of fields."""
    records: list[Record] = []
    position, line = 0, first_line
    while position < len(data):
        scanned = _scan(data, position)
        end = scanned[0] if scanned else (data.find(b"\n", position) + 1 or len(data))
        raw = data[position:end].removesuffix(b"\n").removesuffix(b"\r")
        if raw:
            reason = _error(raw, scanned[1], width) if scanned else "misplaced or unclosed quote"
            fields = None
            if scanned and reason is None:
                fields = [text.decode() if text or quoted else None for text, quoted in scanned[1]]
            records.append(Record(line, raw, fields, reason))
        line += data[position:end].count(b"\n")
        position = end
    return records


def _scan(  # noqa: C901 - a branch for each state
    data: bytes, position: int
) -> tuple[int, list[tuple[bytes, bool]]] | None:
    """The end of the record, and its fields with a flag for quotes; None for a broken quote."""
    fields: list[tuple[bytes, bool]] = []
    text, state = bytearray(), "begin"
    for index in range(position, len(data)):
        byte = data[index : index + 1]
        if state == "quoted":
            if byte == b'"':
                state = "closed"
            else:
                text += byte
        elif state == "closed" and byte == b'"':
            text += byte
            state = "quoted"
        elif byte in b",\n":
            quoted = state == "closed"
            fields.append((bytes(text) if quoted or byte == b"," else bytes(text).removesuffix(b"\r"), quoted))
            if byte == b"\n":
                return index + 1, fields
            text, state = bytearray(), "begin"
        elif state == "closed":
            if data[index : index + 2] != b"\r\n" and data[index:] != b"\r":
                return None
        elif state == "begin" and byte == b'"':
            state = "quoted"
        else:
            text += byte
            state = "bare"
    if state == "quoted":
        return None
    fields.append((bytes(text) if state == "closed" else bytes(text).removesuffix(b"\r"), state == "closed"))
    return len(data), fields


def _error(raw: bytes, fields: list[tuple[bytes, bool]], width: int) -> str | None:
    return next(_errors(raw, fields, width), None)


def _errors(raw: bytes, fields: list[tuple[bytes, bool]], width: int) -> Iterator[str]:
    if len(fields) != width:
        yield f"expected {width} fields, found {len(fields)}"
    if b"\0" in raw:
        yield "NUL byte"
    try:
        raw.decode()
    except UnicodeDecodeError:
        yield "not UTF-8"
    if any(b"\r" in text for text, quoted in fields if not quoted):
        yield "stray carriage return"
