"""Dialects: recognise how a supplier's file is written, from its bytes and its name."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
MAX_PREAMBLE = 60
"""Maximum number of lines before the header."""

MAX_FIELD = 1 << 24
"""Maximum number of characters of a field, as in a load. Python's csv module refuses longer fields than 131,072."""

LEAST_SHORT = 0.05
"""From this share of the records on, short records are the supplier's way of writing."""

LINES = 400
"""Number of lines that decide the dialect."""

_TYPED = re.compile(r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?%?|[0-9]{1,4}[-/.][0-9A-Za-z]{1,3}[-/.][0-9]{1,4}.*")


@dataclass(frozen=True)
class Dialect:
    """How the fields of a text file are written.

    Attributes:
        delimiter: Separates the fields.
        encoding: Encoding of the file.
        quote: Encloses a field that contains the delimiter; empty without quoting.
        escape: Precedes a quotation mark inside of a field; empty where the mark is doubled.
        comment: Begins the lines that are skipped; empty if the file has no such lines.
        skip_lines: Number of lines before the header, or before the first record of a file without a header.
        header: Names of the columns in the file; empty if the file has no header.
        width: Number of fields of the records.
        short_records: Whether many records end before their last fields.
        notes: What the file leaves open, in plain English.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    escape: str = ""
    comment: str = ""
    skip_lines: int = 0
    header: tuple[str, ...] = ()
    width: int = 0
    short_records: bool = False
    notes: tuple[str, ...] = ()


def encoding_of(data: bytes) -> tuple[str, str]:
    """Return the encoding of some bytes, and what they leave open.

    Args:
        data: The bytes. They may end within a character.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", ""
    wide = [data[place:400:2].count(0) for place in range(2)]
    if max(wide) > 0.3 * len(data[:400:2]) and min(wide) < 0.1 * max(wide):
        return ("utf-16-le" if wide[1] else "utf-16-be"), "The file has no byte order mark; its zero bytes show UTF-16."
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > len(data) - 4:
            return "utf-8", ""
        note = "The bytes are not UTF-8, and several single-byte encodings fit: check the special letters."
        return ("cp1252" if _decodes(data, "cp1252") else "latin-1"), note
    return "utf-8", ""


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without their line ends. Only a line feed ends a line, as in a load.

    Carriage returns inside a line become blanks, because Python's csv module would end the line there.
    """
    lines = [line.rstrip("\r").replace("\r", " ") for line in text.removeprefix("\ufeff").split("\n")]
    return lines if lines[-1] else lines[:-1]


def dialect_of(text: str, encoding: str = "utf-8") -> Dialect:
    """Recognise the dialect of a CSV file.

    Args:
        text: The beginning of the file, which ends with a complete line.
        encoding: Encoding of the file.
    """
    lines = lines_of(text)[:LINES]
    comment = "#" if lines and lines[0].startswith("#") and any(not line.startswith("#") for line in lines) else ""
    places = [place for place, line in enumerate(lines) if not (comment and line.startswith(comment))]
    kept = [lines[place] for place in places]
    delimiter, quote = max(
        ((delimiter, quote) for delimiter in DELIMITERS for quote in ('"', "'")),
        key=lambda pair: _score(kept, *pair),
    )
    if _score(kept, delimiter, quote)[0] <= 0:
        delimiter, quote = ",", '"'
    rows = _rows(kept, delimiter, quote)
    width = _width(rows)
    first = _first_row(rows, width)
    is_short = _has_short_records(rows[first:], width)
    skipped = _line_of(kept, delimiter, quote, first)
    if skipped > MAX_PREAMBLE or (is_short and all(len(row) > 1 for row in rows[:first])):
        first = skipped = 0
    is_named = bool(rows) and len(rows[first]) == width and has_header(rows[first:])
    header = tuple(name.strip() for name in rows[first]) if is_named else ()
    escape = "\\" if re.search(r'\\"', text) and not re.search(r'[^,;\t|\n]""[^,;\t|\n]', text) else ""
    # A load skips these lines before it looks for comments, so they count as well.
    skipped = places[skipped] if skipped else 0
    notes = ("Some lines end before their last fields, which are null.",) if is_short else ()
    return Dialect(delimiter, encoding, quote, escape, comment, skipped, header, width, is_short, notes)


def _first_row(rows: Sequence[Sequence[str]], width: int) -> int:
    """The row with the names of the columns, or the first record.

    Spreadsheet programs fill up the lines of a title with delimiters: `Account 4711;;;;`.
    """
    complete = [place for place, row in enumerate(rows) if len(row) == width and any(row)]
    first = complete[0] if complete else 0
    named = next((place for place in complete if not _is_sparse(rows[place])), first)
    if named == first:
        return first
    evidence, against = _header_evidence(rows[named:])
    is_title = width > 2 and sum(map(bool, rows[first])) == 1
    return named if evidence > against or (is_title and evidence == against) else first


def _is_sparse(row: Sequence[str]) -> bool:
    return 2 * sum(map(bool, row)) <= len(row)


def _has_short_records(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether many records are too short and none is too long. A few short records are probably damaged."""
    widths = [len(row) for row in rows if row]
    short = sum(found < width for found in widths)
    return short >= max(2, LEAST_SHORT * len(widths)) and max(widths) == width


def _rows(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
    try:
        return list(csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter, quotechar=quote))
    except csv.Error:
        return []


def _score(lines: Sequence[str], delimiter: str, quote: str) -> tuple[float, int, int]:
    """How well a delimiter splits the lines: the share of rows of the usual width, the width, and the usual mark."""
    rows = [row for row in _rows(lines, delimiter, quote) if row]
    width = _usual_width(rows)
    if width < 2:
        return 0.0, 0, 0
    marked = sum(cell[:1] == quote or quote in cell for row in rows for cell in row)
    share = sum(len(row) == width for row in rows) / len(rows) - marked / sum(map(len, rows))
    text = "\n".join(lines)
    begins = len(re.findall(rf"(?:^|{re.escape(delimiter)}){quote}", text, re.MULTILINE))
    is_used = begins > len(rows) / 20
    return round(share, 2) + (0.01 if quote == '"' or is_used else -0.5), width, int(quote == '"')


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    widths = Counter(len(row) for row in rows if row)
    return max(widths, key=lambda width: (widths[width], width)) if widths else 0


def _width(rows: Sequence[Sequence[str]]) -> int:
    """The usual width, or that of the header where some records reach it and no record is wider."""
    usual, header = _usual_width(rows), len(rows[0]) if rows and all(rows[0]) else 0
    widths = [len(row) for row in rows[1:]]
    return header if header > usual and header == max(widths, default=0) else usual


def _line_of(lines: Sequence[str], delimiter: str, quote: str, row: int) -> int:
    """Number of the lines before a row. A field may contain line ends, and empty lines are rows too."""
    reader = csv.reader(iter(lines), delimiter=delimiter, quotechar=quote)
    for _ in range(row):
        next(reader)
    return reader.line_num


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: it differs in kind from the rows below it."""
    names = rows[0]
    if not any(names) or _are_years(names):
        return any(names)
    evidence, against = _header_evidence(rows)
    return evidence >= against


def _header_evidence(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The numbers of columns whose first value differs in kind from the values below it, and is equal in kind."""
    names, records = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    for_header = against = 0
    for place, name in enumerate(names):
        values = [row[place] for row in records if row[place]]
        typed = [value for value in values if _TYPED.fullmatch(value.strip())]
        if values and len(typed) >= 0.8 * len(values):
            is_typed = bool(_TYPED.fullmatch(name.strip()))
            against += is_typed
            for_header += not is_typed and bool(name.strip())
        elif name and name in values:
            against += 1
    return for_header, against


def _are_years(names: Sequence[str]) -> bool:
    years = [int(name) for name in names if re.fullmatch(r"(19|20)[0-9]{2}", name.strip())]
    return len(years) > 1 and years == list(range(years[0], years[0] + len(years)))
