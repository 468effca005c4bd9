"""The way to the records of a JSON document: finds the array that the contract's `records_key` names."""

from collections.abc import Iterator
from itertools import count

from tasks.contracts.paths import WHOLE_DOCUMENT, Step, path_text, places_of, steps_of
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.json_documents import JsonDocument, Parser
from tasks.engine.formats.json_groups import JsonGroup

KEYS_SHOWN = 20


def read_elements(document: JsonDocument, parser: Parser, key: str) -> Iterator[JsonGroup]:
    """Yield the records of a document: the elements of its array, or the document itself.

    Args:
        document: The document, at its beginning.
        parser: Parses the records.
        key: The contract's `records_key`, which names the array.

    Raises:
        UnreadableObjectError: The document is not JSON, is truncated, or cannot be split into elements.
    """
    if key == WHOLE_DOCUMENT:
        yield parser.records([document.value()])
    elif key:
        yield from _Walk(document, parser, key).records()
    elif document.peek() == b"{":
        raise _of_object(document, "a JSON array of records")
    else:
        document.expect(b"[", "a JSON array of records (one object a line is .ndjson)")
        yield from document.elements(parser)
    if document.peek():
        raise document.error("expected the end of the document, found more bytes")


def _of_object(document: JsonDocument, expected: str) -> UnreadableObjectError:
    """Return the error of an object in the place of an array. It lists the first keys of the object."""
    keys: list[str] = []
    error = document.error
    try:
        document.expect(b"{", "an object")
        for key in document.members():
            keys.append(key)
            if len(keys) == KEYS_SHOWN:
                break
            document.value()
    except UnreadableObjectError:
        pass  # the keys so far are enough
    return error(
        f"expected {expected}, found an object with {document.shown_keys(keys)}. If one of its keys leads to the array,"
        f' name it as records_key in the contract, such as "data.items". If the object is one record, set records_key'
        f' to "{WHOLE_DOCUMENT}". If each key is the id of a record, have the records delivered as an array or as one'
        " object a line"
    )


class _Walk:
    """The way through a document to its records.

    Args:
        document: The document, at its beginning.
        parser: Parses the records.
        key: A key of the top-level object, or a path.
    """

    def __init__(self, document: JsonDocument, parser: Parser, key: str) -> None:
        self._document, self._parser, self._key = document, parser, key
        self._names: list[str] = []
        self._is_found = False
        self._blocked: UnreadableObjectError | None = None

    def records(self) -> Iterator[JsonGroup]:
        """Yield the records.

        Raises:
            UnreadableObjectError: The document has no array under the key, or more than one.
        """
        begin, kind = (b"[", "array") if isinstance(steps_of(self._key)[0], int) else (b"{", "object")
        if self._document.peek() != begin:
            self._document.expect(begin, f'a JSON {kind} with its records under "{self._key}"')
        yield from self._go((), list(places_of(self._key)))
        if not self._is_found:
            found = self._document.shown_keys(self._names)
            raise self._blocked or self._document.error(f'expected the records under "{self._key}", found {found}')

    def _go(self, way: tuple[Step, ...], rest: list[tuple[Step, ...]]) -> Iterator[JsonGroup]:
        """Read a value, and yield the records in it. `rest` holds the remaining steps to the records."""
        document = self._document
        first = document.peek()
        if () in rest:
            yield from self._take()
        elif first == b"{" and any(isinstance(steps[0], str) for steps in rest):
            document.expect(b"{", "an object")
            for key in document.members():
                yield from self._step((*way, key), [steps[1:] for steps in rest if steps[0] == key])
        elif first == b"[" and any(isinstance(steps[0], int) for steps in rest):
            document.expect(b"[", "an array")
            yield from self._go_through(way, rest)
        else:
            kind = "an object" if isinstance(rest[0][0], str) else "an array"
            self._blocked = document.unexpected(f"{kind} under {document.shown_key(path_text(way))}")
            document.value()

    def _go_through(self, way: tuple[Step, ...], rest: list[tuple[Step, ...]]) -> Iterator[JsonGroup]:
        if self._document.skip_empty_array():
            return
        for index in count():
            yield from self._step((*way, index), [steps[1:] for steps in rest if steps[0] == index])
            if self._document.takes_closer(b"]"):
                return

    def _step(self, way: tuple[Step, ...], rest: list[tuple[Step, ...]]) -> Iterator[JsonGroup]:
        if len(self._names) < KEYS_SHOWN or rest:
            self._names.append(path_text(way))
        if rest:
            yield from self._go(way, rest)
        else:
            self._document.value()

    def _take(self) -> Iterator[JsonGroup]:
        if self._is_found:
            raise self._document.error(f'expected the key "{self._key}" once, found it twice')
        self._is_found = True
        if self._document.peek() == b"{":
            raise _of_object(self._document, f'an array under "{self._key}"')
        self._document.expect(b"[", f'an array under "{self._key}"')
        yield from self._document.elements(self._parser)
