"""JSON documents: splits a document into the elements of its array of records.

The native code reads the elements of the array, and stops at a damaged one. Such an element, and everything around the
array, is split by brackets and strings only. A JSON string contains no line break, so a string that is not closed ends
with its line, and only its own record is rejected.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tasks.contracts import Contract
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.csv_records import BOM, MAX_RECORD_BYTES
from tasks.engine.formats.json_groups import JsonGroup
from tasks.engine.formats.json_records import Record, unreadable
from tasks.engine.masking import HIDDEN, masked_record
from tasks.engine.quoting import listed, quoted, shown

CHUNK_BYTES, MOST_BYTES = 1 << 20, 4 << 20
"""How much of a document is read at once: a chunk, which stays in the processor's cache; more for a long element."""

SLOW_RECORDS, SLOW_BYTES = 1024, 1 << 20
"""Limits of the consecutive damaged elements that are parsed together."""

USUAL_DEPTH = 3
"""Maximum nesting of brackets that one regular expression matches. A slower scan handles deeper nesting."""

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Possessive quantifiers (`++`, `*+`) prevent backtracking, so no byte is scanned twice.
_STRING = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_CLOSED_STRING = re.compile(_STRING)
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]++')
_TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|[{}\[\]]')
_CLOSER = {b"{": b"}", b"[": b"]"}


def _nested(depth: int) -> bytes:
    """Return the pattern of an object or array with balanced brackets and closed strings."""
    inner = rb'[^{}\[\]"]++|' + _STRING
    deeper = rb"|" + _nested(depth - 1) if depth else b""
    return rb"(?:\{(?:" + inner + deeper + rb")*+\}|\[(?:" + inner + deeper + rb")*+\])"


_NESTED = re.compile(_nested(USUAL_DEPTH))


class Parser(Protocol):
    """Parses records of a document."""

    def elements(self, data: bytes, begin: int, first_line: int, *, expects_value: bool) -> JsonGroup:
        """Parse elements of an array until its end, a damaged element, or an element that is not complete."""

    def records(self, records: Sequence[Record]) -> JsonGroup:
        """Parse records whose bytes are known."""


class JsonDocument:
    """A document with a window of its bytes in memory, and a current position."""

    def __init__(self, file: Any, name: str, contract: Contract | None = None) -> None:
        self._file, self._name, self._contract = file, name, contract
        self._data: bytes = file.read(CHUNK_BYTES)
        self._at, self._line = len(BOM) if self._data.startswith(BOM) else 0, 1
        self._is_whole = False

    def error(self, text: str) -> UnreadableObjectError:
        """Return an error that names the document and the current line."""
        return unreadable(self._name, self._line, text)

    def shown_keys(self, keys: list[str]) -> str:
        """List some keys of the document for a message."""
        if self._contract and self._contract.is_sensitive and keys:
            return f"{len(keys):,} other keys {HIDDEN}"
        return listed(keys) or "no keys"

    def shown_key(self, key: str) -> str:
        """Show a key of the document in a message."""
        is_hidden = self._contract and self._contract.is_sensitive
        return HIDDEN if is_hidden else f'"{shown(key)}"'

    def peek(self) -> bytes:
        """Return the next byte after white space, or nothing at the end of the document."""
        while True:
            match = _SPACE.match(self._data, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._data) or not self._more():
                return self._data[self._at : self._at + 1]

    def expect(self, byte: bytes, what: str) -> None:
        """Move past an expected byte.

        Raises:
            UnreadableObjectError: Another byte comes next.
        """
        if self.peek() != byte:
            raise self.unexpected(what)
        self._move(self._at + 1)

    def unexpected(self, what: str) -> UnreadableObjectError:
        """Return the error of a document that has something else at the current position."""
        return self.error(f"expected {what}, found {self._found()}")

    def skip_empty_array(self) -> bool:
        """Move past the closing bracket if it comes next, so the array is empty. Return whether it is empty."""
        if self.peek() != b"]":
            return False
        self._move(self._at + 1)
        return True

    def elements(self, parser: Parser) -> Iterator[JsonGroup]:
        """Yield the elements of an array, starting after its bracket."""
        if self.skip_empty_array():
            return
        expects_value, slow_count = True, 1
        while True:
            group = parser.elements(self._data, self._at, self._line, expects_value=expects_value)
            self._at, self._line, expects_value = group.end, group.line, group.expects_value
            slow_count = 1 if group.count else min(2 * slow_count, SLOW_RECORDS)
            is_full = group.is_full
            if group.count:
                yield group
            del group  # frees the memory before more is read
            if is_full or self._read_on():
                continue
            # Next comes the end of the array, or an element that is damaged or not yet complete in memory.
            slow: list[Record] = []
            size = 0
            while not slow or (len(slow) < slow_count and size < SLOW_BYTES):
                if not expects_value and self.takes_closer(b"]"):
                    if slow:
                        yield parser.records(slow)
                    return
                slow.append(self.value())
                expects_value, size = False, size + len(slow[-1][1])
            yield parser.records(slow)

    def members(self) -> Iterator[str]:
        """Yield the keys of an object, starting after its brace. The caller must read each value.

        Raises:
            UnreadableObjectError: No key in quotes, no colon, or neither a comma nor a brace comes next.
        """
        import msgspec  # noqa: PLC0415 - 1 MB, and only JSON needs it

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
                raise self.error(f"expected a key in quotes, found {self._shown(raw)}") from error
            self.expect(b":", f'":" after key {self.shown_key(key)}')
            yield key
            if self.takes_closer(b"}"):
                return

    def value(self) -> Record:
        """Return the next value and move past it.

        Raises:
            UnreadableObjectError: No value comes next, or the value is incomplete or longer than `MAX_RECORD_BYTES`.
        """
        if self.peek() in b",:]}":
            raise self.error(f"expected a value, found {self._found()}")
        while (end := self._value_end()) is None:
            if len(self._data) - self._at > MAX_RECORD_BYTES:
                raise self.error(
                    f"expected a value of at most {MAX_RECORD_BYTES >> 20} MiB, found a longer value that begins here"
                )
            if not self._more():
                raise self.error(f"expected a complete value, but the document ends inside it: {self._found()}")
        line, raw = self._line, self._data[self._at : end]
        self._move(end)
        return line, raw

    def takes_closer(self, closer: bytes) -> bool:
        """Move past the comma or the closing bracket after a value. Return whether it is the bracket.

        Raises:
            UnreadableObjectError: Neither of them comes next.
        """
        byte = self.peek()
        if byte not in (b",", closer):
            raise self.error(f'expected "," or "{closer.decode()}" after a value, found {self._found()}')
        self._move(self._at + 1)
        return byte == closer

    def _value_end(self) -> int | None:
        """Return the end of the value at the current position, or None if its end is not in memory yet."""
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

    def _read_on(self) -> bool:
        """Read a chunk if less than a chunk is left: the next element may be incomplete. Return whether it was read."""
        return len(self._data) - self._at < CHUNK_BYTES and self._more()

    def _more(self) -> bool:
        rest, self._data = self._data[self._at :], b""  # frees the memory before more is read
        chunk = self._file.read(min(max(CHUNK_BYTES, len(rest)), MOST_BYTES))  # a long element is scanned a few times
        self._data, self._at = rest + chunk, 0
        self._is_whole = not chunk
        return bool(chunk)

    def _found(self) -> str:
        if self._at >= len(self._data):
            return "the end"
        return self._shown(self._data[self._at : self._at + 400])

    def _shown(self, raw: bytes) -> str:
        return masked_record(self._contract, raw) if self._contract else quoted(raw)


def _bracket_end(data: bytes, at: int) -> int | None:
    """Return the position after the bracket that matches the bracket at `at`, or None if it is not in memory yet.

    Brackets of the wrong kind and unclosed strings inside do not stop the search.
    """
    closers = bytearray()  # one byte for each open bracket: every byte of the input may be one
    waiting = {b"}": 0, b"]": 0}
    for token in _TOKEN.finditer(data, at):
        text = token.group()
        if text in _CLOSER:
            closers += _CLOSER[text]
            waiting[_CLOSER[text]] += 1
        elif waiting.get(text):
            while (closed := bytes((closers.pop(),))) != text:
                waiting[closed] -= 1  # this bracket was never closed
            waiting[text] -= 1
            if not closers:
                return token.end()
    return None
