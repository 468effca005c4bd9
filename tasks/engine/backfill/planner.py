"""The plan of a backfill: compare the lake with the ledger, partition by partition."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from tasks.contracts.keys import Unit, partition_name, partition_value
from tasks.engine.backfill.staleness import CurrentPartition
from tasks.engine.receipts import ObjectRef

State = Literal["new", "changed", "lost", "unfinished", "stale", "unchanged", "missing", "orphaned"]
MEANINGS: dict[State, str] = {
    "new": "in the lake, but not loaded",
    "changed": "the lake holds another version",
    "lost": "loaded, but its rows are missing from the table",
    "unfinished": "loaded, but the run did not complete",
    "stale": "loaded, but another input of its tables changed",
    "unchanged": "up to date: skipped",
    "missing": "not in the lake",
    "orphaned": "loaded, but not in the lake any more: the rows remain",
}
DUE: tuple[State, ...] = ("new", "changed", "lost", "unfinished", "stale")
"""States that need a run."""


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of a backfill.

    Attributes:
        partition: Name of the partition.
        state: State of the partition.
        object_count: Number of objects in the lake.
        size_bytes: Size of these objects.
        orphans: URIs of loaded objects that the lake does not hold any more.
        changes: Changed inputs of a stale partition, such as `dataset rates`.
    """

    partition: str
    state: State
    object_count: int = 0
    size_bytes: int = 0
    orphans: tuple[str, ...] = ()
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
    objects: Iterable[ObjectRef],
    current: Mapping[str, CurrentPartition],
) -> BackfillPlan:
    """Compare a listing of the lake with the database.

    Args:
        dataset: Dataset of the partitions.
        unit: Unit of a partition.
        first: A day of the first partition; None for the first delivered or loaded partition.
        last: A day of the last partition, included; None for the last delivered or loaded partition.
        objects: Listed objects of the range.
        current: Loaded partitions of the range, by name.
    """
    listed: dict[str, list[ObjectRef]] = {}
    for source in objects:
        listed.setdefault(source.partition, []).append(source)
    known = sorted(listed.keys() | current.keys())
    first = first or (partition_value(known[0]) if known else None)
    last = last or (partition_value(known[-1]) if known else None)
    if first is None or last is None:
        return BackfillPlan(dataset, ())
    names = partitions_between(unit, first, last)
    return BackfillPlan(dataset, tuple(_planned(name, listed.get(name, []), current.get(name)) for name in names))


def _planned(partition: str, sources: list[ObjectRef], current: CurrentPartition | None) -> PartitionPlan:
    versions = current.versions if current else {}
    orphans = tuple(sorted(versions.keys() - {source.uri for source in sources}))
    state, size = _state(sources, current), sum(source.size_bytes for source in sources)
    changes = current.changes if current and state == "stale" else ()
    return PartitionPlan(partition, state, len(sources), size, orphans, changes)


def _state(sources: list[ObjectRef], current: CurrentPartition | None) -> State:
    if not sources:
        return "orphaned" if current else "missing"
    if current is None:
        return "new"
    if any(current.versions.get(source.uri) != source.version for source in sources):
        return "changed"
    if current.is_lost:
        return "lost"
    if not current.is_finished:
        return "unfinished"
    return "stale" if current.changes else "unchanged"
