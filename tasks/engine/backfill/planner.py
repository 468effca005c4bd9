"""The plan of a backfill: compare the lake with the ledger, partition by partition."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from tasks.contracts.keys import Unit, partition_name, partition_value
from tasks.engine.backfill.staleness import CurrentPartition
from tasks.engine.lake.deliveries import Delivery

State = Literal[
    "new", "changed", "lost", "emptied", "unfinished", "stale", "unchanged", "incomplete", "missing", "orphaned"
]
MEANINGS: dict[State, str] = {
    "new": "in the lake, but not loaded",
    "changed": "the lake holds other versions of its objects, or more or fewer objects",
    "lost": "loaded, but its rows are missing from the table",
    "emptied": "its objects moved to other partitions, or a reset removed its rows: its tables are built without them",
    "unfinished": "loaded, but the run did not complete",
    "stale": "loaded, but another input of its tables changed",
    "unchanged": "up to date: skipped",
    "incomplete": "in the lake without its success marker: not delivered yet",
    "missing": "not in the lake",
    "orphaned": "loaded, but not in the lake any more: the rows remain",
}
DUE: tuple[State, ...] = ("new", "changed", "lost", "emptied", "unfinished", "stale")
"""States that need a run."""


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of a backfill.

    Attributes:
        partition: Name of the partition.
        state: State of the partition.
        object_count: Number of objects in the lake.
        size_bytes: Size of these objects.
        orphans: URIs of loaded objects that the lake does not hold any more, and whose rows remain.
        removed: URIs of loaded objects that the supplier removed from a delivery: a run deletes their rows.
        changes: Changed inputs of a stale partition, such as `dataset rates`.
    """

    partition: str
    state: State
    object_count: int = 0
    size_bytes: int = 0
    orphans: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackfillPlan:
    """All partitions of a range, the oldest first."""

    dataset: str
    partitions: tuple[PartitionPlan, ...]

    @property
    def due(self) -> list[str]:
        """Partitions that need a run."""
        return [planned.partition for planned in self.partitions if planned.state in DUE]

    @property
    def delivered(self) -> list[str]:
        """Partitions with objects in the lake, in any state."""
        return [planned.partition for planned in self.partitions if planned.object_count]

    @property
    def loaded(self) -> list[str]:
        """Partitions that are loaded by their state, including partitions whose rows are lost."""
        return [one.partition for one in self.partitions if one.state not in ("new", "incomplete", "missing")]

    @property
    def changes(self) -> list[str]:
        """Changed inputs of the stale partitions, the most frequent first."""
        counted = Counter(name for planned in self.partitions for name in planned.changes)
        return [name for name, _ in counted.most_common()]

    @property
    def days(self) -> tuple[date, date]:
        """First days of the first and the last partition."""
        return partition_value(self.partitions[0].partition), partition_value(self.partitions[-1].partition)

    def of(self, state: State) -> list[str]:
        """Partitions in a state."""
        return [planned.partition for planned in self.partitions if planned.state == state]

    def spans(self, state: State) -> list[tuple[str, str]]:
        """First and last partition of each unbroken sequence of partitions in a state."""
        rows = groupby(self.partitions, key=lambda planned: planned.state)
        spans = [[planned.partition for planned in row] for found, row in rows if found == state]
        return [(span[0], span[-1]) for span in spans]


def partitions_between(unit: Unit, first: date, last: date) -> Iterator[str]:
    """Names of the partitions from the first day to the last day, both included."""
    value = partition_value(partition_name(first, unit))
    while value <= last:
        yield partition_name(value, unit)
        try:
            value = (
                (value.replace(day=1) + timedelta(days=31)).replace(day=1) if unit == "month" else value + timedelta(1)
            )
        except OverflowError:  # the end of the calendar
            return


def plan_backfill(
    dataset: str,
    unit: Unit,
    first: date | None,
    last: date | None,
    deliveries: Mapping[str, Delivery],
    current: Mapping[str, CurrentPartition],
) -> BackfillPlan:
    """Compare a listing of the lake with the database.

    Args:
        dataset: Dataset of the partitions.
        unit: Unit of a partition.
        first: A day of the first partition; None for the first delivered or loaded partition.
        last: A day of the last partition, included; None for the last delivered or loaded partition.
        deliveries: Listed objects of the range, by partition.
        current: Loaded partitions of the range, by name.
    """
    known = sorted(deliveries.keys() | current.keys())
    first = first or (partition_value(known[0]) if known else None)
    last = last or (partition_value(known[-1]) if known else None)
    if first is None or last is None:
        return BackfillPlan(dataset, ())
    names = partitions_between(unit, first, last)
    nothing = Delivery()
    return BackfillPlan(
        dataset, tuple(_planned(name, deliveries.get(name, nothing), current.get(name)) for name in names)
    )


def _planned(partition: str, delivery: Delivery, current: CurrentPartition | None) -> PartitionPlan:
    sources, versions = delivery.sources, current.versions if current else {}
    removed = delivery.removed(versions)
    orphans = tuple(sorted(versions.keys() - {source.uri for source in sources} - set(removed)))
    state, size = _state(delivery, removed, current), sum(source.size_bytes for source in sources)
    changes = current.changes if current and state == "stale" else ()
    return PartitionPlan(partition, state, len(sources), size, orphans, removed, changes)


def _state(delivery: Delivery, removed: Sequence[str], current: CurrentPartition | None) -> State:
    if not delivery.sources:
        return "incomplete" if delivery.waiting else _state_without_objects(current)
    if current is None or current.is_emptied:
        return "new"
    if removed or any(current.versions.get(source.uri) != source.version for source in delivery.sources):
        return "changed"
    if current.is_lost:
        return "lost"
    if not current.is_finished:
        return "unfinished"
    return "stale" if current.changes else "unchanged"


def _state_without_objects(current: CurrentPartition | None) -> State:
    if current is None:
        return "missing"
    if not current.is_emptied:
        return "orphaned"
    return "missing" if current.is_current else "emptied"
