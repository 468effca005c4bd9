"""JSON paths: finds the values of a contract's sources in a record, also inside nested objects and arrays.

A source is the key of its name at the top of the record, or the value at the path that the name describes
(`tasks/contracts/paths.py`). A missing key, a null on the way and an array that ends earlier give null. A value of
another type on the way rejects the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from tasks.contracts import Contract
from tasks.contracts.paths import Step, places_of, spelt
from tasks.engine.formats.json_documents import elements_of, has_more_keys
from tasks.engine.quoting import shown
from tasks.engine.rejected_rows import Reason, ReasonCode

MOST_KEYS = 10_000
"""Maximum number of keys in a record, and in each object that a path leads into."""

Fields = dict[str, msgspec.Raw]

NULL = msgspec.Raw(b"null")
TOO_MANY_KEYS = Reason(ReasonCode.TOO_MANY_KEYS, f"more than {MOST_KEYS:,} keys")

_decode = msgspec.json.Decoder(Fields).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_TYPES = {b'"': "a text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}


@dataclass(frozen=True)
class Ended:
    """Found on the way of a path: null, or an array that ends before the index."""


@dataclass(frozen=True)
class Blocked:
    """Found on the way of a path: a value of another type.

    Attributes:
        where: The path of that value.
        found: Its type.
        expected: The type that the path requires.
    """

    where: str
    found: str
    expected: str


@dataclass
class Node:
    """A place in a record that a path names or leads through.

    Attributes:
        steps: The way from the record to this place.
        children: The next places, by their key or index.
        is_source: Whether a source takes the value at this place, or a value that contains it.
    """

    steps: tuple[Step, ...] = ()
    children: dict[Step, "Node"] = field(default_factory=dict)
    is_source: bool = False

    def child(self, step: Step) -> "Node":
        """Return the place of a key or an index below this place."""
        return self.children.setdefault(step, Node((*self.steps, step)))

    def below(self) -> Iterator["Node"]:
        """Yield all places below this place."""
        for child in self.children.values():
            yield child
            yield from child.below()

    @property
    def expected(self) -> str:
        """The types that a value at this place must have so that the paths can go on."""
        kinds = ["an object"] if any(isinstance(step, str) for step in self.children) else []
        return " or ".join(kinds + (["an array"] if any(isinstance(step, int) for step in self.children) else []))

    @property
    def element_count(self) -> int:
        """The number of elements at the beginning of an array that paths name."""
        return max((step + 1 for step in self.children if isinstance(step, int)), default=0)


@dataclass(frozen=True)
class PathReason(Reason):
    """Why a path rejects a record.

    Attributes:
        source: The path.
    """

    source: str


Found = dict[tuple[Step, ...], msgspec.Raw | Ended | Blocked]


class TooManyKeysError(Exception):
    """An object on the way of a path has too many keys."""


class RecordPaths:
    """The places of a contract's sources in a record.

    Args:
        contract: The contract.

    Attributes:
        root: The record itself.
        names: The places of each source, each with the name that leads to it: the source's own or an alias.
    """

    def __init__(self, contract: Contract) -> None:
        self.root = Node()
        self.names = {
            source: {place: name for name in (source, *aliases) for place in places_of(name)}
            for source, aliases in contract.sources.items()
        }
        for places in self.names.values():
            for steps in places:
                node = self.root
                for step in steps:
                    node = node.child(step)
                node.is_source = True
        for node in self.root.below():
            for child in node.children.values():
                child.is_source |= node.is_source

    def find(self, fields: Fields, found: Found, unknown: dict[str, None]) -> None:
        """Collect the values of a record.

        Args:
            fields: The record.
            found: Receives what is at each place.
            unknown: Receives the names of the keys that the contract does not declare.

        Raises:
            TooManyKeysError: An object on the way of a path has too many keys.
        """
        self._find(self.root, fields, found, unknown)

    def _find(self, node: Node, fields: Fields, found: Found, unknown: dict[str, None]) -> None:
        for key, value in fields.items():
            if key in node.children:
                self._place(node.children[key], value, found, unknown)
            elif not node.is_source:
                unknown[spelt((*node.steps, key))] = None

    def _place(self, node: Node, value: msgspec.Raw, found: Found, unknown: dict[str, None]) -> None:
        found[node.steps] = value
        if not node.children:
            return
        first = bytes(memoryview(value)[:1])
        if first == b"n":
            found |= dict.fromkeys((below.steps for below in node.below()), Ended())
        elif first == b"{" and "object" in node.expected:
            self._find(node, _members(value), found, unknown)
        elif first == b"[" and node.element_count:
            elements = _elements(value, node.element_count)
            for step, child in node.children.items():
                if isinstance(step, int) and step < len(elements):
                    self._place(child, elements[step], found, unknown)
                elif isinstance(step, int):
                    found |= dict.fromkeys((each.steps for each in (child, *child.below())), Ended())
        else:
            blocked = Blocked(spelt(node.steps), _TYPES.get(first, "a number"), node.expected)
            found |= dict.fromkeys((below.steps for below in node.below()), blocked)

    def value_of(self, source: str, found: Found) -> msgspec.Raw | Reason:
        """Return the value of a source in a record, or the reason to reject the record."""
        places = self.names[source]
        given = {steps: value for steps in places if isinstance(value := found.get(steps), msgspec.Raw)}
        if len(given) > 1:
            first, second = (_described(places[steps], steps) for steps in [*given][:2])
            text = f"column {source} occurs twice, as {first} and as {second}"
            return Reason(ReasonCode.DUPLICATE_COLUMN, text)
        for value in given.values():
            return value
        for steps in places:
            if isinstance(blocked := found.get(steps), Blocked):
                where = f"{source}: expected {blocked.expected} at {shown(blocked.where)}, found {blocked.found}"
                return PathReason(ReasonCode.WRONG_TYPE_ON_PATH, where, source)
        return NULL

    def unknown_of(self, fields: Fields) -> bytes:
        """Return the undeclared keys of a record as one JSON object, or null if there are none.

        Objects on the way of a path lose the keys that paths name. Arrays on the way of a path are kept whole.
        """
        return _undeclared(self.root, fields) or b"null"


def _undeclared(node: Node, fields: Fields) -> bytes:
    kept = []
    for key, value in fields.items():
        child, rest = node.children.get(key), bytes(value)
        if child and child.children and not child.is_source and rest.startswith(b"{"):
            rest = _undeclared(child, _members(value))
        elif child and (child.is_source or not rest.startswith(b"[")):
            rest = b""
        if rest:
            kept.append(msgspec.json.encode(key) + b":" + rest)
    return b"{" + b",".join(kept) + b"}" if kept else b""


def _described(name: str, steps: tuple[Step, ...]) -> str:
    return f"the path {shown(name)}" if steps != (name,) else shown(name)


def _members(value: msgspec.Raw) -> Fields:
    if has_more_keys(bytes(value), MOST_KEYS):
        raise TooManyKeysError
    return _decode(value)


def _elements(value: msgspec.Raw, count: int) -> list[msgspec.Raw]:
    raw = bytes(value)
    if raw.count(b",") <= MOST_KEYS:
        return _decode_elements(value)
    return [msgspec.Raw(one) for one in islice(elements_of(raw), count)]
