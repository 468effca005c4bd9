"""Records of JSON bytes, one after the other: the lines of NDJSON, and the elements of a document's array.

A document is taken apart by its brackets and strings alone; whether an element is sound is asked of each by itself. No
string of JSON holds a line break, so one that was never closed ends with its line and costs its own record.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.csv_records import BOM, MAX_RECORD_BYTES
from tasks.engine.quoting import listed, quoted, shown

Record = tuple[int, bytes]
"""Number of the physical line that a record begins on, and its bytes."""

CHUNK_BYTES = 4 << 20
LINES_BYTES = 1 << 18
"""How much of NDJSON is split into lines at once: each line is an object of Python, however short it is."""

USUAL_DEPTH = 3
"""How deep the brackets of a record may nest to be found by one pattern."""
KEYS_SHOWN = 20

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Possessive (`++`, `*+`): never scanned twice, whatever the bytes.
_STRING = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_CLOSED_STRING = re.compile(_STRING)
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]++')
_TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|[{}\[\]]')
_CLOSER = {b"{": b"}", b"[": b"]"}


def _nested(depth: int) -> bytes:
    """The pattern of an object whose brackets and strings are sound."""
    inner = rb'[^{}\[\]"]++|' + _STRING
    deeper = rb"|" + _nested(depth - 1) if depth else b""
    return rb"(?:\{(?:" + inner + deeper + rb")*+\}|\[(?:" + inner + deeper + rb")*+\])"


_NESTED = re.compile(_nested(USUAL_DEPTH))


def read_lines(file: Any, name: str) -> Iterator[Record]:
    """Lines of NDJSON that are not blank, without their line ends.

    Raises:
        UnreadableObjectError: A line is longer than `MAX_RECORD_BYTES`.
    """
    line, rest, size = 1, [b""], 0
    while chunk := file.read(LINES_BYTES):
        first, *lines = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > MAX_RECORD_BYTES:
            raise _unreadable(name, line, f"expected at most {MAX_RECORD_BYTES >> 20} MiB, found a longer line")
        if not lines:
            continue
        yield from _line(b"".join(rest), line)
        *lines, last = lines
        for number, raw in enumerate(lines, line + 1):
            yield from _line(raw, number)
        line, rest, size = line + 1 + len(lines), [last], len(last)
    yield from _line(b"".join(rest), line)


def _line(raw: bytes, line: int) -> Iterator[Record]:
    """A line as a record; a blank one is none."""
    raw = raw.removeprefix(BOM) if line == 1 else raw
    if raw and not raw.isspace():
        yield line, raw.removesuffix(b"\r")


def read_elements(file: Any, name: str, key: str) -> Iterator[Record]:
    """Elements of the array that is a document, or that stands in it under a key.

    Args:
        file: The document.
        name: Its name, for the messages.
        key: Of the object at the top; empty where the array is the document.

    Raises:
        UnreadableObjectError: The document is none, ends too early, or an element cannot be told from the next.
    """
    document = _Document(file, name)
    if not key:
        document.expect(b"[", "a JSON array of records (one object a line is .ndjson)")
        yield from document.elements()
    else:
        document.expect(b"{", f'a JSON object with its records under "{key}"')
        found: list[str] = []
        for member in document.members():
            if member == key and key not in found:
                document.expect(b"[", f'an array under "{key}"')
                yield from document.elements()
            elif member == key:
                raise document.error(f'expected "{key}" once, found it again')
            else:
                document.value()
            if len(found) < KEYS_SHOWN or member == key:
                found.append(member)
        if key not in found:
            raise document.error(f'expected the records under "{key}", found {listed(found) or "no keys"}')
    if document.peek():
        raise document.error("expected the end of the document, found more")


class _Document:
    """A document of which a part is in memory, and a place in it."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name
        self._data: bytes = file.read(CHUNK_BYTES)
        self._at, self._line = len(BOM) if self._data.startswith(BOM) else 0, 1
        self._is_whole = False

    def error(self, text: str) -> UnreadableObjectError:
        return _unreadable(self._name, self._line, text)

    def peek(self) -> bytes:
        """The next byte that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self._data, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._data) or not self._more():
                return self._data[self._at : self._at + 1]

    def expect(self, byte: bytes, what: str) -> None:
        """Step over a byte that must come next."""
        if self.peek() != byte:
            raise self.error(f"expected {what}, found {self._found()}")
        self._move(self._at + 1)

    def elements(self) -> Iterator[Record]:
        """Elements of an array, behind its bracket."""
        if self.peek() == b"]":
            self._move(self._at + 1)
            return
        while True:
            yield self.value()
            if self._ends(b"]"):
                return

    def members(self) -> Iterator[str]:
        """Keys of an object, behind its bracket; the caller takes each one's value."""
        if self.peek() == b"}":
            self._move(self._at + 1)
            return
        while True:
            if self.peek() != b'"':
                raise self.error(f"expected a key in quotes, found {self._found()}")
            _, raw = self.value()
            try:
                key = msgspec.json.decode(raw, type=str)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise self.error(f"expected a key in quotes, found {quoted(raw)}") from error
            self.expect(b":", f'":" behind key "{shown(key)}"')
            yield key
            if self._ends(b"}"):
                return

    def value(self) -> Record:
        """Step over the value that comes next."""
        if self.peek() in b",:]}":
            raise self.error(f"expected a value, found {self._found()}")
        while (end := self._value_end()) is None:
            if len(self._data) - self._at > MAX_RECORD_BYTES:
                raise self.error(f"a value that begins here does not end within {MAX_RECORD_BYTES >> 20} MiB")
            if not self._more():
                raise self.error(f"the document ends within a value that begins here: {self._found()}")
        line, raw = self._line, self._data[self._at : end]
        self._move(end)
        return line, raw

    def _ends(self, closer: bytes) -> bool:
        """Step over what follows a value: a comma, or the bracket that closes all."""
        byte = self.peek()
        if byte not in (b",", closer):
            raise self.error(f'expected "," or "{closer.decode()}" behind a value, found {self._found()}')
        self._move(self._at + 1)
        return byte == closer

    def _value_end(self) -> int | None:
        """Where the value ends that begins here; None where it goes on in bytes not read yet."""
        data, at = self._data, self._at
        first = data[at : at + 1]
        if first in _CLOSER:
            match = _NESTED.match(data, at)
            return match.end() if match else _bracket_end(data, at)
        match = (_CLOSED_STRING if first == b'"' else _SCALAR).match(data, at)
        if match is None or (match.end() == len(data) and first != b'"' and not self._is_whole):
            return None
        return match.end()

    def _move(self, end: int) -> None:
        self._line += self._data.count(b"\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        chunk = self._file.read(CHUNK_BYTES)
        self._data, self._at = self._data[self._at :] + chunk, 0
        self._is_whole = not chunk
        return bool(chunk)

    def _found(self) -> str:
        return quoted(self._data[self._at : self._at + 400]) if self._at < len(self._data) else "its end"


def _bracket_end(data: bytes, at: int) -> int | None:
    """Where the brackets balance that open here, though they, or strings between them, may be unsound."""
    closers = bytearray()  # one byte each: there may be as many as there are bytes
    waiting = {b"}": 0, b"]": 0}
    for token in _TOKEN.finditer(data, at):
        text = token.group()
        if text in _CLOSER:
            closers += _CLOSER[text]
            waiting[_CLOSER[text]] += 1
        elif waiting.get(text):
            while (closed := bytes((closers.pop(),))) != text:
                waiting[closed] -= 1  # one that was forgotten
            waiting[text] -= 1
            if not closers:
                return token.end()
    return None


def has_more_keys(raw: bytes, most: int) -> bool:
    """Whether a record has more keys than so many, read no further than that."""
    if len(raw) < most or raw.count(b":") <= most:
        return False
    document = _Document(io.BytesIO(raw), "a record")
    try:
        document.expect(b"{", "an object")
        for count, _ in enumerate(document.members(), 1):
            if count > most:
                return True
            document.value()
    except UnreadableObjectError:
        pass  # the decoder says what is wrong with it
    return False


def _unreadable(name: str, line: int, text: str) -> UnreadableObjectError:
    return UnreadableObjectError(f"{name}, line {line:,}: {text}; nothing was loaded. Have the object delivered again")
