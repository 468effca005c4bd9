"""An independent reader of JSON records in Python: the values of the sources, and the reasons of rejections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tasks.contracts import Contract
from tasks.contracts.paths import Step, path_text, places_of
from tasks.engine.formats.json_records import Record
from tasks.engine.quoting import shown
from tasks.engine.rejected_rows import Reason, ReasonCode

Fields = dict[str, msgspec.Raw]
NULL = msgspec.Raw(b"null")

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
        """The types that a value at this place must have for the paths to continue."""
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


class OraclePaths:
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
        """
        self._find(self.root, fields, found, unknown)

    def _find(self, node: Node, fields: Fields, found: Found, unknown: dict[str, None]) -> None:
        for key, value in fields.items():
            if key in node.children:
                self._place(node.children[key], value, found, unknown)
            elif not node.is_source:
                unknown[path_text((*node.steps, key))] = None

    def _place(self, node: Node, value: msgspec.Raw, found: Found, unknown: dict[str, None]) -> None:
        found[node.steps] = value
        if not node.children:
            return
        first = bytes(memoryview(value)[:1])
        if first == b"n":
            found |= dict.fromkeys((below.steps for below in node.below()), Ended())
        elif first == b"{" and "object" in node.expected:
            self._find(node, _decode(value), found, unknown)
        elif first == b"[" and node.element_count:
            elements = _decode_elements(value)
            for step, child in node.children.items():
                if isinstance(step, int) and step < len(elements):
                    self._place(child, elements[step], found, unknown)
                elif isinstance(step, int):
                    found |= dict.fromkeys((each.steps for each in (child, *child.below())), Ended())
        else:
            blocked = Blocked(path_text(node.steps), _TYPES.get(first, "a number"), node.expected)
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
            rest = _undeclared(child, _decode(value))
        elif child and (child.is_source or not rest.startswith(b"[")):
            rest = b""
        if rest:
            kept.append(msgspec.json.encode(key) + b":" + rest)
    return b"{" + b",".join(kept) + b"}" if kept else b""


def _described(name: str, steps: tuple[Step, ...]) -> str:
    return f"the path {shown(name)}" if steps != (name,) else shown(name)


@dataclass
class Expected:
    """What a reader makes of some records.

    Attributes:
        rows: Line, bytes and values of each valid record. The last value is the object of undeclared keys.
        rejected: Line, bytes, column and reason of each other record.
        unknown: The names of the undeclared keys.
    """

    rows: list[tuple[int, bytes, tuple[str | None, ...]]] = field(default_factory=list)
    rejected: list[tuple[int, bytes, str | None, Reason]] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)


def expected_of(records: Sequence[Record], contract: Contract) -> Expected:
    """Read records."""
    paths, expected = OraclePaths(contract), Expected()
    for line, raw in records:
        found: Found = {}
        fields = _fields(raw)
        if isinstance(fields, Reason):
            expected.rejected.append((line, raw, None, fields))
            continue
        paths.find(fields, found, expected.unknown)
        values = [paths.value_of(source, found) for source in contract.sources]
        reasons = [value for value in values if isinstance(value, Reason)]
        if reasons:
            source = reasons[0].source if isinstance(reasons[0], PathReason) else None
            reason = Reason(reasons[0].code, reasons[0].text)
            expected.rejected.append((line, raw, source, reason))
        else:
            texts = [_text(value) for value in (*values, msgspec.Raw(paths.unknown_of(fields)))]
            expected.rows.append((line, raw, tuple(texts)))
    return expected


def _fields(raw: bytes) -> Fields | Reason:
    try:
        raw.decode()  # the decoder does not validate the values that it returns unparsed
        return _decode(raw)
    except UnicodeDecodeError:
        return Reason(ReasonCode.NOT_UTF8, "not UTF-8")
    except msgspec.ValidationError:
        return Reason(ReasonCode.NOT_AN_OBJECT, "expected a JSON object")
    except msgspec.DecodeError as error:
        found = str(error).removeprefix("JSON is malformed: ").partition(" (byte")[0]
        return Reason(ReasonCode.NOT_JSON, f"not JSON: {found}")


def _text(value: Any) -> str | None:
    raw = bytes(value)
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str)
    return msgspec.json.format(raw, indent=-1).decode() if raw[:1] in b"[{" else raw.decode()
