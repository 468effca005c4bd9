"""The plan of a backfill: what the lake holds against what the ledger knows, partition by partition."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Literal

from tasks.contracts.keys import Unit, partition_name, partition_value
from tasks.engine import ledger
from tasks.engine.receipts import ObjectRef
from tasks.engine.sql_files import ROOT, sql_digest
from tasks.engine.warehouse import Connection

State = Literal["new", "changed", "unfinished", "unchanged", "missing", "orphaned"]
MEANINGS: dict[State, str] = {
    "new": "in the lake, not in the database",
    "changed": "the lake holds another content",
    "unfinished": "loaded, but no run that followed came to its end with these loads and today's SQL",
    "unchanged": "stands: no work",
    "missing": "not in the lake",
    "orphaned": "in the database, gone from the lake: its rows stay",
}
DUE: tuple[State, ...] = ("new", "changed", "unfinished")
"""States of which a run makes `unchanged`."""


@dataclass(frozen=True)
class Standing:
    """What the database holds of a partition.

    Attributes:
        versions: ETag of each object that stands, by its URI.
        is_finished: Whether a run of the pipeline came to its end with these loads, by the SQL of today.
    """

    versions: Mapping[str, str]
    is_finished: bool


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of a backfill.

    Attributes:
        object_count: Objects in the lake.
        size_bytes: Their size.
        orphans: URIs of objects that are gone from the lake, while their rows stand.
    """

    partition: str
    state: State
    object_count: int = 0
    size_bytes: int = 0
    orphans: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackfillPlan:
    """All partitions of a range, the oldest first."""

    dataset: str
    partitions: tuple[PartitionPlan, ...]

    @property
    def due(self) -> list[str]:
        """Partitions that a run has work for."""
        return [planned.partition for planned in self.partitions if planned.state in DUE]

    @property
    def days(self) -> tuple[date, date]:
        """First days of the first and the last partition."""
        return partition_value(self.partitions[0].partition), partition_value(self.partitions[-1].partition)

    def of(self, state: State) -> list[str]:
        """Partitions in a state."""
        return [planned.partition for planned in self.partitions if planned.state == state]

    def spans(self, state: State) -> list[tuple[str, str]]:
        """First and last partitions of each unbroken row of partitions in a state."""
        rows = groupby(self.partitions, key=lambda planned: planned.state)
        spans = [[planned.partition for planned in row] for found, row in rows if found == state]
        return [(span[0], span[-1]) for span in spans]


def partitions_between(unit: Unit, first: date, last: date) -> Iterator[str]:
    """Names of the partitions from that of one day to that of another, both included."""
    value = partition_value(partition_name(first, unit))
    while value <= last:
        yield partition_name(value, unit)
        try:
            value = (
                (value.replace(day=1) + timedelta(days=31)).replace(day=1) if unit == "month" else value + timedelta(1)
            )
        except OverflowError:  # the end of the calendar
            return


def read_standing(
    connection: Connection, dataset: str, first: str | None, last: str | None, root: Path = ROOT
) -> dict[str, Standing]:
    """What the database holds of the partitions of a range, by one query.

    Args:
        connection: To the warehouse.
        dataset: Whose partitions.
        first: Partition that the range begins with; None for the first there is.
        last: The last one; None for the last there is.
        root: Where the SQL is.
    """
    digest_of = lru_cache(lambda schemas: sql_digest(schemas, root))
    return {
        entry.partition: Standing(
            entry.versions, entry.load_ids == entry.finished_ids and digest_of(entry.schemas) == entry.sql_digest
        )
        for entry in ledger.standing_partitions(connection, dataset, first, last)
    }


def plan_backfill(
    dataset: str,
    unit: Unit,
    first: date | None,
    last: date | None,
    objects: Iterable[ObjectRef],
    standing: Mapping[str, Standing],
) -> BackfillPlan:
    """Hold a listing against what stands.

    Args:
        dataset: Whose partitions.
        unit: What one of them holds.
        first: A day of the first partition; None for the first that is delivered or stands.
        last: A day of the last one, which is included; None for the last that is delivered or stands.
        objects: Of the range, as the lake lists them.
        standing: Of the range, by partition.
    """
    listed: dict[str, list[ObjectRef]] = {}
    for source in objects:
        listed.setdefault(source.partition, []).append(source)
    known = sorted(listed.keys() | standing.keys())
    first = first or (partition_value(known[0]) if known else None)
    last = last or (partition_value(known[-1]) if known else None)
    if first is None or last is None:
        return BackfillPlan(dataset, ())
    names = partitions_between(unit, first, last)
    return BackfillPlan(dataset, tuple(_planned(name, listed.get(name, []), standing.get(name)) for name in names))


def _planned(partition: str, sources: list[ObjectRef], standing: Standing | None) -> PartitionPlan:
    versions = standing.versions if standing else {}
    orphans = tuple(sorted(versions.keys() - {source.uri for source in sources}))
    return PartitionPlan(
        partition, _state(sources, standing), len(sources), sum(source.size_bytes for source in sources), orphans
    )


def _state(sources: list[ObjectRef], standing: Standing | None) -> State:
    if not sources:
        return "orphaned" if standing else "missing"
    if standing is None:
        return "new"
    if any(standing.versions.get(source.uri) != source.version for source in sources):
        return "changed"
    return "unchanged" if standing.is_finished else "unfinished"
