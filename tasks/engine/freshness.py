"""Freshness: compares what must be in the warehouse at a moment with the ledger and the lake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from tasks.contracts import Contract
from tasks.contracts.keys import Unit, partition_name, partition_value
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.receipts import Freshness, FreshnessStatus, ObjectRef
from tasks.engine.warehouse.tables import Connection

HISTORY = 12
"""Number of partitions before the newest due one that are searched for gaps."""

BUILD_GRACE = timedelta(minutes=30)
"""Time that a run has, after its load, to build and export its tables."""

Listing = Callable[[str], Delivery]
"""Lists the objects of a partition in the lake."""


@dataclass(frozen=True)
class _Loaded:
    """The current loads of one partition.

    Attributes:
        versions: Versions of the loaded objects, by URI.
        load_ids: Ids of the loads, without replays.
        loaded_at: Time of the last load. None: no object is loaded.
    """

    versions: dict[str, str]
    load_ids: list[int]
    loaded_at: datetime | None


_Finding = tuple[FreshnessStatus, str, str]
"""Status, what was found, and the next step."""


def check_dataset(
    connection: Connection, contract: Contract, moment: datetime, listing: Listing, pipeline: str | None
) -> Freshness:
    """Check that the newest partition whose deadline has passed is loaded and, with a pipeline, built and exported.

    For a dataset without partitions, the current object must have arrived after the previous deadline. A dataset that
    was never loaded and has no object in the lake has no data yet; it is not stale.

    Args:
        connection: To a warehouse with the ledger.
        contract: A contract with `expected`.
        moment: Moment of the check.
        listing: Lists the objects of a partition in the lake.
        pipeline: Name of the pipeline that records when a partition is complete. None: no pipeline does.

    Raises:
        ValueError: The contract has no `expected`.
    """
    expected = contract.expected
    if expected is None:
        raise ValueError(f"expected a contract with a deadline, found {contract.dataset} without one")
    unit: Unit = contract.partition.unit if contract.partition else "day"
    value = expected.newest_due(moment, unit)
    name = partition_name(value, unit) if contract.partition else ""
    due = expected.due(value, unit)
    loaded = _loaded(connection, contract.dataset, name)
    if contract.partition:
        finding = _finding(connection, contract, name, loaded, moment, due, listing, pipeline)
    else:
        finding = _finding_of_object(contract, loaded, expected.due(value - timedelta(days=1), unit), listing)
    status, found, next_step = finding or ("fresh", f"loaded {_time(loaded.loaded_at)}", "")
    if status == "stale" and not _was_ever_loaded(connection, contract.dataset) and _is_absent(listing(name)):
        here = f"no object of {name}" if name else "no object"
        status, found, next_step = "no data yet", f"nothing was ever loaded, and the lake has {here}", ""
    return Freshness(
        name=contract.dataset,
        partition=name,
        status=status,
        expected=f"by {_time(due)}",
        found=found,
        next_step=next_step,
        late_by=moment - due if status == "stale" else None,
        gaps=_gaps(connection, contract.dataset, value, unit) if contract.partition else (),
    )


def _finding(
    connection: Connection,
    contract: Contract,
    partition: str,
    loaded: _Loaded,
    moment: datetime,
    due: datetime,
    listing: Listing,
    pipeline: str | None,
) -> _Finding | None:
    """Return what is wrong with a due partition. None: it is complete."""
    run = f"run {pipeline} for {partition}" if pipeline else f"load {partition}"
    if loaded.loaded_at is None:
        delivery = listing(partition)
        if objects := delivery.sources:
            failure = _last_failure(connection, contract.dataset, partition)
            text = f"{objects[0].uri} arrived {_time(objects[0].modified_at)} but is not loaded{failure}"
            return "stale", text, f"Look at the last failed run and ledger.load_attempts, then {run}"
        if delivery.waiting:
            step = f"Ask the supplier. When {contract.success_marker} is there, {run}"
            return "stale", _waiting(contract, delivery), step
        newest = _newest_loaded(connection, contract.dataset)
        text = f"the lake has no object of {partition}; the newest loaded partition is {newest or 'none'}"
        return "stale", text, f"Ask the supplier. After the delivery, {run}"
    if left := [x for x in listing(partition).sources if loaded.versions.get(x.uri) != x.version and _arrived(x, due)]:
        text = f"objects of {partition} arrived in time but are not loaded: {len(left):,}, such as {left[0].uri}"
        return "stale", text, f"Look at the last failed run and ledger.load_attempts, then {run}"
    if (
        pipeline
        and moment - loaded.loaded_at > BUILD_GRACE
        and not _is_finished(connection, contract, partition, loaded)
    ):
        text = f"{partition} was loaded {_time(loaded.loaded_at)}, but its tables were not built and exported"
        return "stale", text, f"Look at the last failed run, then {run}"
    return None


def _finding_of_object(contract: Contract, loaded: _Loaded, previous: datetime, listing: Listing) -> _Finding | None:
    """Return what is wrong with a dataset without partitions. None: its object arrived after the previous deadline."""
    if loaded.loaded_at and loaded.loaded_at > previous:
        return None
    delivery = listing("")
    newest = max(delivery.sources, key=lambda source: source.modified_at or previous, default=None)
    if newest is None and delivery.waiting:
        step = f"Ask the supplier. When {contract.success_marker} is there, run the flow again"
        return "stale", _waiting(contract, delivery), step
    if newest is None:
        last = f"; the last load was {_time(loaded.loaded_at)}" if loaded.loaded_at else ""
        return "stale", f"the lake has no object{last}", "Ask the supplier. After the delivery, run the flow again"
    if loaded.versions.get(newest.uri) != newest.version:
        text = f"{newest.uri} arrived {_time(newest.modified_at)} but is not loaded"
        return "stale", text, f"Look at the last runs of the flow that loads {contract.dataset}, then run it again"
    if newest.modified_at and newest.modified_at > previous:
        return None  # the same content was delivered again, and a load would skip it
    text = (
        f"no object arrived after {_time(previous)}; the newest object, {newest.uri}, arrived"
        f" {_time(newest.modified_at)}"
    )
    return "stale", text, "Ask the supplier. After the delivery, run the flow again"


def _arrived(source: ObjectRef, due: datetime) -> bool:
    """Return whether an object arrived by the deadline. A later one is a correction, which has no deadline."""
    return source.modified_at is not None and source.modified_at <= due


def _is_absent(delivery: Delivery) -> bool:
    return not delivery.sources and not delivery.waiting


def _waiting(contract: Contract, delivery: Delivery) -> str:
    first = delivery.waiting[0]
    return (
        f"the delivery is not complete: {first.uri} arrived {_time(first.modified_at)} without"
        f" {contract.success_marker}"
    )


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "at an unknown time"


def _loaded(connection: Connection, dataset: str, partition: str) -> _Loaded:
    rows = connection.execute(
        "SELECT source_uri, source_version, load_id, loaded_at FROM ledger.loads"
        " WHERE dataset = %s AND partition = %s AND status = 'loaded' AND replay_of IS NULL",
        [dataset, partition],
    ).fetchall()
    moments = [moment for *_, moment in rows]
    return _Loaded({uri: version for uri, version, *_ in rows}, [row[2] for row in rows], max(moments, default=None))


def _was_ever_loaded(connection: Connection, dataset: str) -> bool:
    return connection.execute("SELECT FROM ledger.loads WHERE dataset = %s LIMIT 1", [dataset]).fetchone() is not None


def _newest_loaded(connection: Connection, dataset: str) -> str | None:
    ((newest,),) = connection.execute(
        "SELECT max(partition) FROM ledger.loads WHERE dataset = %s AND status = 'loaded'", [dataset]
    ).fetchall()
    return str(newest) if newest else None


def _last_failure(connection: Connection, dataset: str, partition: str) -> str:
    row = connection.execute(
        "SELECT error_class, ended_at FROM ledger.load_attempts WHERE dataset = %s AND partition = %s"
        " AND status = 'failed' ORDER BY attempt_id DESC LIMIT 1",
        [dataset, partition],
    ).fetchone()
    return f"; its load failed {_time(row[1])} with {row[0]}" if row else ""


def _is_finished(connection: Connection, contract: Contract, partition: str, loaded: _Loaded) -> bool:
    row = connection.execute(
        "SELECT FROM ledger.finished_partitions WHERE dataset = %s AND partition = %s AND load_ids @> %s::bigint[]",
        [contract.dataset, partition, loaded.load_ids],
    ).fetchone()
    return row is not None


def _gaps(connection: Connection, dataset: str, newest: date, unit: Unit) -> tuple[str, ...]:
    """Return the missing partitions between the first loaded one and the newest due one, the oldest first."""
    rows = connection.execute(
        "SELECT DISTINCT partition FROM ledger.loads WHERE dataset = %s AND status = 'loaded'", [dataset]
    )
    found = {str(partition) for (partition,) in rows}
    first = min(found, default="")
    earlier = [partition_name(value, unit) for value in islice(_before(newest, unit), HISTORY)]
    return tuple(name for name in reversed(earlier) if first and name > first and name not in found)


def _before(partition: date, unit: Unit) -> Iterator[date]:
    """Yield the first days of the partitions before one, the newest first."""
    while partition > date.min + timedelta(days=31):
        partition = partition_value(partition_name(partition - timedelta(days=1), unit))
        yield partition
