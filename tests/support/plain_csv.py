"""A simple CSV reader, byte by byte: the independent reference for the tests of the engine's reader."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.contracts.formats import Csv

Fields = list[str | None]
CONTROLS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True)
class Record:
    """One record. `fields` is None for a rejected record with its `reason`; an unquoted empty field is None."""

    line_number: int
    raw: bytes
    fields: Fields | None
    reason: str | None


@dataclass
class _Field:
    """The characters of a field, each with the characters that were written for it."""

    characters: list[tuple[bytes, bytes]]
    is_quoted: bool = False

    @property
    def written(self) -> bytes:
        return b"".join(written for _, written in self.characters)

    def text(self, dialect: Csv) -> str | None:
        if dialect.escape and not dialect.quote:
            is_null = self.written == dialect.escape.encode() + b"N"
        else:
            is_null = not self.is_quoted and not self.characters
        return None if is_null else b"".join(text for text, _ in self.characters).decode()


def read_plain(data: bytes, width: int, first_line: int = 1, dialect: Csv | None = None) -> list[Record]:
    """Read the records after a header with a number of fields."""
    csv = dialect or Csv()
    records: list[Record] = []
    position, line = 0, first_line
    while position < len(data):
        is_comment = bool(csv.comment) and data[position:].startswith(csv.comment.encode())
        scanned = None if is_comment else _scan(data, position, csv)
        if scanned:
            stop, end, fields = scanned
        else:
            end = data.find(b"\n", position) + 1 or len(data)
            stop = position + len(data[position:end].removesuffix(b"\n").removesuffix(b"\r"))
        raw = data[position:stop]
        if raw and not is_comment:
            reason = _error(raw, fields, width, csv) if scanned else "misplaced or unclosed quote"
            texts = _texts(fields, width, csv) if scanned and reason is None else None
            records.append(Record(line, raw, texts, reason))
        line += data[position:end].count(b"\n")
        position = end
    return records


def _texts(fields: list[_Field], width: int, csv: Csv) -> Fields:
    texts = [field.text(csv) for field in fields[: len(fields) - csv.trailing_delimiter]]
    return texts + [None] * (width - len(texts))


def _scan(  # noqa: C901, PLR0912 - a branch for each state
    data: bytes, position: int, csv: Csv
) -> tuple[int, int, list[_Field]] | None:
    """The ends of the record without and with its line end, and its fields; None for a broken quote."""
    delimiter, quote, escape = (one.encode() for one in (csv.delimiter, csv.quote, csv.escape))
    fields, field, state, index = list[_Field](), _Field([]), "begin", position
    while index < len(data):
        byte, after = data[index : index + 1], data[index + 1 : index + 2]
        if byte == escape and after and state != "closed" and _is_escape(csv, after, is_quoted=state == "quoted"):
            text = CONTROLS.get(after, after) if not quote else after
            text = b"\0" if not quote and after == b"0" else text
            field.characters.append((text, byte + after))
            state = "quoted" if state == "quoted" else "bare"
            index += 1
        elif state == "quoted":
            if byte == quote:
                state = "closed"
            else:
                field.characters.append((byte, byte))
        elif state == "closed" and byte == quote:
            field.characters.append((byte, byte))
            state = "quoted"
        elif byte in (delimiter, b"\n"):
            stop = index
            if byte == b"\n":
                stop -= _drop_return(field) if state != "closed" else data[index - 1 : index] == b"\r"
            fields.append(field)
            if byte == b"\n":
                return stop, index + 1, fields
            field, state = _Field([]), "begin"
        elif state == "closed":
            if data[index : index + 2] != b"\r\n" and data[index:] != b"\r":
                return None
        elif state == "begin" and byte == quote:
            field.is_quoted, state = True, "quoted"
        else:
            field.characters.append((byte, byte))
            state = "bare"
        index += 1
    if state == "quoted":
        return None
    stop = len(data) - (_drop_return(field) if state != "closed" else data.endswith(b"\r"))
    return stop, len(data), [*fields, field]


def _is_escape(csv: Csv, after: bytes, *, is_quoted: bool) -> bool:
    if csv.escapes_unquoted or not csv.quote:
        return True
    return is_quoted and after.decode("latin-1") in (csv.quote, csv.escape)


def _drop_return(field: _Field) -> bool:
    """Drop a carriage return that belongs to the line end; return whether there was one."""
    has_return = field.characters[-1:] == [(b"\r", b"\r")]
    if has_return:
        field.characters.pop()
    return has_return


def _error(raw: bytes, fields: list[_Field], width: int, csv: Csv) -> str | None:
    return next(_errors(raw, fields, width, csv), None)


def _errors(raw: bytes, fields: list[_Field], width: int, csv: Csv) -> Iterator[str]:
    count = len(fields) - csv.trailing_delimiter
    most, after = "at most " * csv.short_records, " and a delimiter after them" * csv.trailing_delimiter
    is_wrong = count > width or (count < width and not csv.short_records)
    if is_wrong or (csv.trailing_delimiter and fields[-1].characters):
        yield f"expected {most}{width} fields{after}, found {len(fields)}"
    if b"\0" in raw or any(text == b"\0" for field in fields for text, _ in field.characters):
        yield "NUL byte"
    try:
        raw.decode()
    except UnicodeDecodeError:
        yield "not UTF-8"
    if any((b"\r", b"\r") in field.characters for field in fields if not field.is_quoted):
        yield "stray carriage return"
