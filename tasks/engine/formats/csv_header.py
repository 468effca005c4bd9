"""CSV headers: the names of an object's fields, from its first line or from its contract."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tasks.contracts.formats import Csv
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.csv_records import BOM, refuse_endless

MAX_COLUMNS = 100_000
"""Maximum number of columns in a header. A Postgres table has at most 1,600 columns."""

LONGEST_NAME = 1 << 16
"""Maximum length of a name with line ends. A quote without an end within it is damaged, and opens no such name."""


@dataclass(frozen=True)
class Header:
    """The header of a CSV object: its first line that is neither blank, a comment nor before the header.

    The lines that a name in quotes contains belong to the header.

    Attributes:
        names: Column names. Empty if the object has no such line and its contract does not name the fields.
        rest: Bytes after the header that were already read.
        line: Physical line number of the first byte of `rest`.
        is_last: Whether the object ends with these bytes.
    """

    names: list[str]
    rest: bytes
    line: int
    is_last: bool


def read_header(chunks: Iterator[tuple[bytes, bool]], dialect: Csv) -> Header:
    """Read the header of an object. A byte order mark is skipped.

    Args:
        chunks: Chunks of the object from its beginning, each with a flag for the last chunk.
        dialect: The dialect of the object.

    Raises:
        UnreadableObjectError: The line is longer than `MAX_RECORD_BYTES`, or has more than `MAX_COLUMNS` columns.
    """
    begin = _Begin(chunks)
    for _ in range(dialect.skip_lines):
        begin.skip_line()
    names = list(dialect.names)
    if not names and (first := begin.take_header(dialect)):
        if first.count(dialect.delimiter.encode()) >= MAX_COLUMNS:
            raise UnreadableObjectError(
                f"line {max(begin.line - 1, 1):,}: expected a header with at most {MAX_COLUMNS:,} columns, found more."
                " Check that the object is CSV with a header"
            )
        names = names_in(first, dialect)
    return Header(names, begin.rest, begin.line, begin.is_last)


def names_in(line: bytes, dialect: Csv) -> list[str]:
    """Return the names in a header line.

    A name without a value at the end is dropped if a delimiter also follows the last field of each record.
    """
    fields = _field(dialect).findall(line)
    if dialect.trailing_delimiter and len(fields) > 1 and not fields[-1]:
        fields.pop()
    return [_unescaped(field, dialect).decode(errors="replace").strip() for field in fields]


@lru_cache
def _skipped(comment: bytes) -> re.Pattern[bytes]:
    """Return the pattern of blank lines and comments."""
    return re.compile(rb"(?:[\r\n]++" + (rb"|" + re.escape(comment) + rb"[^\n]*+\n" if comment else b"") + rb")++")


@lru_cache
def _field(dialect: Csv) -> re.Pattern[bytes]:
    """Return the pattern of a field, with its quotes and escapes, after a delimiter or at the beginning."""
    delimiter, quote, escape = (re.escape(one.encode()) for one in (dialect.delimiter, dialect.quote, dialect.escape))
    escaped = rb"|" + escape + rb"." if escape else b""
    is_everywhere = escape and (dialect.escapes_unquoted or not quote)
    bare = (
        rb"(?:[^" + delimiter + escape + rb"]++" + escaped + rb")*+" if is_everywhere else rb"[^" + delimiter + rb"]*+"
    )
    quoted = _quoted(dialect).pattern + rb"|" if quote else b""
    return re.compile(rb"(?:^|" + delimiter + rb")(" + quoted + bare + rb")", re.DOTALL)


@lru_cache
def _quoted(dialect: Csv) -> re.Pattern[bytes]:
    """Return the pattern of the quoted part of a field."""
    quote, escape = (re.escape(one.encode()) for one in (dialect.quote, dialect.escape))
    escaped = rb"|" + escape + rb"." if escape else b""
    content = rb"(?:[^" + quote + escape + rb"]++|" + quote * 2 + escaped + rb")*+"
    return re.compile(quote + content + quote, re.DOTALL)


@lru_cache
def _closed(dialect: Csv) -> re.Pattern[bytes]:
    """Return the pattern of a quoted field with what follows it."""
    return re.compile(
        _quoted(dialect).pattern + rb"(?=" + re.escape(dialect.delimiter.encode()) + rb"|\r?(?:\n|\Z))", re.DOTALL
    )


def _open_quote(line: bytes, dialect: Csv) -> int | None:
    """Return the place of the last field of a line, if its quote does not close in the line."""
    quote = dialect.quote.encode()
    if not quote or quote not in line:
        return None
    begin = 0
    for field in _field(dialect).finditer(line):
        begin = field.start(1)
    return begin if line.startswith(quote, begin) and not _quoted(dialect).match(line, begin) else None


def _unescaped(field: bytes, dialect: Csv) -> bytes:
    quote, escape = dialect.quote.encode(), dialect.escape.encode()
    is_quoted = bool(quote) and field.startswith(quote)
    if is_quoted:
        field = field[1:-1].replace(quote * 2, quote)
    if escape and (is_quoted or dialect.escapes_unquoted or not quote):
        field = re.sub(re.escape(escape) + b"(.)", rb"\1", field, flags=re.DOTALL)
    return field


class _Begin:
    """The beginning of an object, read line by line without its byte order mark.

    Attributes:
        line: Physical line number of the next byte.
        is_last: Whether the object ends with the bytes that were read.
    """

    def __init__(self, chunks: Iterator[tuple[bytes, bool]]) -> None:
        self._chunks, self._text, self._at = chunks, b"", 0
        self.line, self.is_last = 1, False
        while not self.is_last and len(self._text) < len(BOM):
            self._read()
        self._text = self._text.removeprefix(BOM)

    @property
    def rest(self) -> bytes:
        """The bytes that were read, and are in no line so far."""
        return self._text[self._at :]

    def skip_line(self) -> None:
        """Move past the next line, however long it is."""
        while (end := self._text.find(b"\n", self._at)) < 0 and not self.is_last:
            self._text, self._at = b"", 0
            self._read()
        self._move(len(self._text) if end < 0 else end + 1)

    def take_header(self, dialect: Csv) -> bytes:
        """Move past the header. Return it without its line end.

        Returns:
            The next line that is neither blank nor a comment, and the lines that its names in quotes contain. Empty if
            the object has no such line.

        Raises:
            UnreadableObjectError: A line is longer than `MAX_RECORD_BYTES`.
        """
        header = self._take_record_line(dialect.comment.encode())
        while (begin := _open_quote(header, dialect)) is not None:
            while len(self.rest) < LONGEST_NAME and not self.is_last:
                self._read()
            name = _closed(dialect).match(header + b"\n" + self.rest[:LONGEST_NAME], begin)
            if not name:
                break
            self._move(self._at + name.end() - len(header) - 1)
            header = name.string[: name.end()] + self._take_line()
        return header.removesuffix(b"\r")

    def _take_record_line(self, comment: bytes) -> bytes:
        """Move past the next line that is neither blank nor a comment. Return it; empty if there is no such line."""
        while True:
            if skipped := _skipped(comment).match(self._text, self._at):  # an object may begin with any number of them
                self._move(skipped.end())
            if self._at == len(self._text) and not self.is_last:
                self._read()
                continue
            line = self._take_line()
            if not (comment and line.startswith(comment)):
                return line

    def _take_line(self) -> bytes:
        """Move past the next line. Return it without its line feed."""
        while (end := self._text.find(b"\n", self._at)) < 0 and not self.is_last:
            refuse_endless(len(self._text) - self._at, self.line)
            self._read()
        line = self._text[self._at : len(self._text) if end < 0 else end]
        self._move(self._at + len(line) + (end >= 0))
        return line

    def _move(self, end: int) -> None:
        self.line += self._text.count(b"\n", self._at, end)
        self._at = end

    def _read(self) -> None:
        chunk, self.is_last = next(self._chunks)
        self._text, self._at = self.rest + chunk, 0
