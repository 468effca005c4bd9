"""The volume guard: finds an object with far fewer or far more rows than the dataset's objects usually have.

The rule compares the logarithm of the row count with the median of the last twelve objects. It allows five times the
median absolute deviation (scaled to a standard deviation), and at least the contract's factor. An object also passes if
it is within the factor of the object of the same weekday of the week before, or of the same month of the year before,
because many suppliers deliver less on weekends. Ten rows are added to every count, so that small objects have wide
bounds. An object without rows never passes, unless the contract sets `min_rows=0`. `docs/input.md` has the error rates.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tasks.contracts import Contract
from tasks.contracts.keys import Unit, partition_name, partition_value
from tasks.contracts.volume import Volume
from tasks.engine.errors import VolumeError
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.tables import Connection

HISTORY = 12
"""Number of objects that the bounds derive from."""

SHORTEST_HISTORY = 4
"""With fewer objects, only an object without rows and the fixed bounds of the contract count."""

DEVIATIONS, SCALE, SMOOTHING = 5, 1.4826, 10


@dataclass(frozen=True)
class Bounds:
    """The allowed row counts of an object, both ends included.

    Attributes:
        least: The smallest allowed count.
        most: The largest allowed count. None: no bound.
        origin: Where the bounds come from, for messages.
    """

    least: int
    most: int | None
    origin: str

    def includes(self, rows: int) -> bool:
        """Return whether an object may have this number of rows."""
        return self.least <= rows and (self.most is None or rows <= self.most)


def check_volume(
    connection: Connection, contract: Contract, source: ObjectRef, *, rows: int, force: bool
) -> tuple[str, ...]:
    """Compare an object's row count with the last objects of its dataset, in the transaction of its load.

    Args:
        connection: In that transaction.
        contract: Its `volume` decides what a breach does; None allows every count.
        source: The object.
        rows: Number of rows that the object has, rejected rows included.
        force: Whether the run loads the object in spite of a breach.

    Returns:
        The warnings, at most one. Each says what was expected and what was found.

    Raises:
        VolumeError: The count is outside the bounds, and the contract says `fail`.
    """
    if contract.volume is None:
        return ()
    bounds = bounds_of(
        contract.volume, _last_counts(connection, contract, source), _similar(connection, contract, source)
    )
    if bounds.includes(rows):
        return ()
    most = "or more" if bounds.most is None else f"to {bounds.most:,}"
    finding = f"{source.uri}: expected {bounds.least:,} {most} rows ({bounds.origin}), found {rows:,} rows"
    advice = "Ask the supplier whether the object is complete"
    if contract.volume.on_breach == "fail" and not force:
        raise VolumeError(
            f"{finding}; nothing was loaded, and {contract.table} keeps its previous rows. {advice}. If these are the"
            f" right rows, run again with force, or change `volume` in the contract of {contract.dataset}"
        )
    return (f"{finding}. The object was loaded. {advice}",)


def bounds_of(volume: Volume, counts: Sequence[int], similar: Sequence[int] = ()) -> Bounds:
    """Compute the allowed row counts of an object.

    Args:
        volume: The contract's bounds.
        counts: Row counts of the last objects.
        similar: Row counts of the objects of the same weekday or month before.
    """
    least, most, origin = 1, None, "an object without rows is not normal"
    if len(counts) >= SHORTEST_HISTORY:
        least, most = _computed(volume.factor, counts, similar)
        origin = f"the last {len(counts)} objects have {min(counts):,} to {max(counts):,} rows"
    if volume.min_rows is not None or volume.max_rows is not None:
        origin = "the contract's `volume`"
    return Bounds(
        least if volume.min_rows is None else volume.min_rows,
        most if volume.max_rows is None else volume.max_rows,
        origin,
    )


def _computed(factor: float, counts: Sequence[int], similar: Sequence[int]) -> tuple[int, int]:
    logarithms = [math.log(count + SMOOTHING) for count in counts]
    middle = statistics.median(logarithms)
    deviation = SCALE * statistics.median(abs(value - middle) for value in logarithms)
    width = max(math.log(factor), DEVIATIONS * deviation)
    likes = [math.log(count + SMOOTHING) for count in similar]
    least = min([middle - width, *(value - math.log(factor) for value in likes)])
    most = max([middle + width, *(value + math.log(factor) for value in likes)])
    return max(math.ceil(math.exp(least) - SMOOTHING - 1e-6), 1), math.floor(math.exp(most) - SMOOTHING + 1e-6)


def _last_counts(connection: Connection, contract: Contract, source: ObjectRef) -> list[int]:
    """Return the row counts of the objects before this one, and after it if there are too few before it."""
    if contract.partition is None:
        query = (
            "SELECT rows_read FROM ledger.loads WHERE dataset = %(dataset)s AND status <> 'lost'"
            " AND replay_of IS NULL AND source_version <> %(version)s"
            " ORDER BY load_id DESC LIMIT %(limit)s"
        )
    else:
        query = (
            "SELECT rows_read FROM ledger.loads WHERE dataset = %(dataset)s AND status = 'loaded'"
            " AND replay_of IS NULL AND source_uri <> %(uri)s"
            " ORDER BY partition > %(partition)s, CASE WHEN partition <= %(partition)s THEN partition END DESC,"
            " partition, source_uri DESC LIMIT %(limit)s"
        )
    values = {
        "dataset": contract.dataset,
        "version": source.version,
        "uri": source.uri,
        "partition": source.partition,
        "limit": HISTORY,
    }
    return [int(rows) for (rows,) in connection.execute(query, values)]


def _similar(connection: Connection, contract: Contract, source: ObjectRef) -> list[int]:
    """Return the row counts of the partition of the same weekday or month before."""
    if contract.partition is None:
        return []
    unit, value = contract.partition.unit, partition_value(source.partition)
    if value.year == date.min.year:
        return []
    earlier = partition_name(_cycle_before(value, unit), unit)
    found = connection.execute(
        "SELECT rows_read FROM ledger.loads WHERE dataset = %s AND partition = %s AND status = 'loaded'"
        " AND replay_of IS NULL",
        [contract.dataset, earlier],
    )
    return [int(rows) for (rows,) in found]


def _cycle_before(partition: date, unit: Unit) -> date:
    return partition - timedelta(days=7) if unit == "day" else partition.replace(year=partition.year - 1)
