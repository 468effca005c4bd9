"""JSON paths: the places of a contract's sources in a record, and what the records so far contained there.

A source is the key of its name at the top of the record, or the value at the path that the name describes
(`tasks/contracts/paths.py`). A missing key, a null on the way and an array that ends earlier give null. A value of
another type on the way rejects the record. `tasks/engine/formats/native/json_values.c` finds the values.
"""

import ctypes
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.contracts import Contract
from tasks.contracts.decimal_marks import decimals_of
from tasks.contracts.paths import Step, path_text, places_of
from tasks.engine.formats.native import json_structs
from tasks.engine.formats.native.binding import library
from tasks.engine.quoting import shown
from tasks.engine.rejected_rows import Reason, ReasonCode

MOST_KEYS = 10_000
"""Maximum number of keys in a record, and in each object that a path leads into."""

REPORTED_KEYS = 100
"""Maximum number of undeclared keys that are kept for the report."""

_TYPES = {b'"': "a text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false"}


@dataclass
class Place:
    """A place in a record that a path names or leads through.

    Attributes:
        steps: The way from the record to this place.
        children: The next places, by their key or index.
    """

    steps: tuple[Step, ...] = ()
    children: dict[Step, "Place"] = field(default_factory=dict)

    def child(self, step: Step) -> "Place":
        """Return the place of a key or an index below this place."""
        return self.children.setdefault(step, Place((*self.steps, step)))

    def all(self) -> Iterator["Place"]:
        """Yield this place and all places below it."""
        yield self
        for child in self.children.values():
            yield from child.all()

    @property
    def has_keys(self) -> bool:
        """Whether paths lead into an object at this place."""
        return any(isinstance(step, str) for step in self.children)

    @property
    def element_count(self) -> int:
        """The number of elements at the beginning of an array that paths name."""
        return max((step + 1 for step in self.children if isinstance(step, int)), default=0)

    @property
    def expected(self) -> str:
        """The types that a value at this place must have for the paths to continue."""
        return " or ".join(["an object"] * self.has_keys + ["an array"] * bool(self.element_count))


class RecordPaths:
    """The places of a contract's sources in a record.

    Args:
        contract: The contract.

    Attributes:
        plan: The address of the native description of the places.
    """

    def __init__(self, contract: Contract) -> None:
        self._sources = tuple(contract.sources)
        self._columns = contract.read_columns
        root = Place()
        self._names: list[tuple[str, str, tuple[Step, ...]]] = []
        for source, aliases in contract.sources.items():
            named = {steps: name for name in (source, *aliases) for steps in places_of(name)}
            self._names += [(source, name, steps) for steps, name in named.items()]
        for _, _, steps in self._names:
            place = root
            for step in steps:
                place = place.child(step)
        self._places = list(root.all())
        self.plan: int = self._described(keeps_unknown=contract.unknown_keys_column is not None)
        weakref.finalize(self, library.json_plan_free, self.plan)

    def _described(self, *, keeps_unknown: bool) -> int:
        marks = decimals_of(self._columns)
        decimals = {steps: marks.get(source, ".") for source, _, steps in self._names}
        numbers = {place.steps: number for number, place in enumerate(self._places)}
        places = (json_structs.JsonPlace * len(self._places))(
            *(_place(place, numbers, decimals.get(place.steps, ".")) for place in self._places)
        )
        order = {source: number for number, source in enumerate(self._sources)}
        names = (json_structs.JsonName * len(self._names))(
            *(json_structs.JsonName(order[source], numbers[steps]) for source, _, steps in self._names)
        )
        self._kept = places  # the native code does not copy the keys
        plan: int | None = library.json_plan_new(
            places, len(places), names, len(names), len(order), MOST_KEYS, REPORTED_KEYS, keeps_unknown
        )
        if not plan:
            raise MemoryError("no memory for the places of a JSON record")
        return plan

    def found(self, keys: json_structs.JsonKeys) -> list[str]:
        """Return the name under which each source was found in the records so far."""
        found: dict[str, str] = {}
        for number, (source, name, _) in enumerate(self._names):
            if keys.is_seen[number]:
                found.setdefault(source, name)
        return list(found.values())

    def unknown(self, keys: json_structs.JsonKeys) -> list[str]:
        """Return the undeclared keys of the records so far, as paths."""
        return [
            path_text((*self._places[one.place].steps, ctypes.string_at(one.key, one.size).decode()))
            for one in keys.unknown[: keys.unknown_count]
        ]

    def reason_of(self, record: json_structs.JsonRecord) -> tuple[str | None, Reason]:
        """Return the source and the reason of a rejection that a name caused."""
        source, name, steps = self._names[record.first]
        if record.error == json_structs.JsonError.TWICE:
            _, other, other_steps = self._names[record.second]
            text = f"column {source} occurs twice, as {_described(name, steps)} and as {_described(other, other_steps)}"
            return None, Reason(ReasonCode.DUPLICATE_COLUMN, text)
        place = self._places[record.second]
        found = _TYPES.get(bytes((record.kind,)), "a number")
        text = f"{source}: expected {place.expected} at {shown(path_text(place.steps))}, found {found}"
        return source, Reason(ReasonCode.WRONG_TYPE_ON_PATH, text)


def _place(place: Place, numbers: dict[tuple[Step, ...], int], decimal: str) -> json_structs.JsonPlace:
    step = place.steps[-1] if place.steps else ""
    key = step.encode() if isinstance(step, str) else None
    return json_structs.JsonPlace(
        key=key,
        size=len(key or b""),
        index=step if isinstance(step, int) else 0,
        parent=numbers[place.steps[:-1]],
        last=numbers[[*place.all()][-1].steps],
        elements=place.element_count,
        has_keys=place.has_keys,
        decimal=decimal.encode(),
    )


def _described(name: str, steps: tuple[Step, ...]) -> str:
    return f"the path {shown(name)}" if steps != (name,) else shown(name)
