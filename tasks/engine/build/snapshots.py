"""The times of a history's snapshots, from the ledger.

A build of a history records the time of its snapshot in `ledger.builds`. The next snapshot in that list ends the time
that a build may write. So snapshots may arrive, be corrected and be withdrawn in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from tasks.contracts.keys import partition_value
from tasks.engine.build.build_inputs import Recipe
from tasks.engine.errors import SqlFileError
from tasks.engine.warehouse.tables import Connection


@dataclass(frozen=True)
class Snapshot:
    """The time for which a build sets the rows of a history: from its snapshot to the next one.

    Attributes:
        start: Time of the snapshot.
        end: Time of the next snapshot; None if the snapshot is the last one.
        is_withdrawn: Whether the snapshot's object is gone. The rows of the snapshot before it are then valid.
        may_be_empty: Whether a snapshot without rows may end all rows.
    """

    start: datetime
    end: datetime | None = None
    is_withdrawn: bool = False
    may_be_empty: bool = False

    @property
    def recorded_at(self) -> datetime | None:
        """The time for the list of snapshots in the ledger; None for a withdrawn snapshot."""
        return None if self.is_withdrawn else self.start


def snapshot_of(
    connection: Connection, recipe: Recipe, ledger_partition: str, loads: Sequence[int], *, force: bool = False
) -> Snapshot | None:
    """Return the time that a build of a history writes; None for other tables and before the first delivery.

    A snapshot of a partition is valid from the first day of the partition. A snapshot of datasets without partitions is
    valid from its delivery: the time of the newest load that it reads.

    Args:
        connection: In the transaction of the build.
        recipe: Recipe of the table.
        ledger_partition: Partition under which the ledger records the build.
        loads: Ids of the loads that the build reads.
        force: Whether a snapshot without rows may end all rows.

    Raises:
        SqlFileError: The partition is neither a month nor a day, or the delivery is older than the last snapshot.
    """
    if recipe.table.disposition.kind != "history":
        return None
    start = _first_day(recipe, ledger_partition) if ledger_partition else _delivery(connection, recipe, loads)
    if start is None:
        return None
    row = connection.execute(
        "SELECT min(snapshot_at) FROM ledger.builds WHERE table_name = %s AND snapshot_at > %s",
        [recipe.table.name, start],
    ).fetchone()
    read = [contract for contract in recipe.contracts if contract.dataset in recipe.read_datasets]
    allowed = bool(read) and all(contract.volume is None or contract.volume.min_rows == 0 for contract in read)
    is_divided = any(contract.partition for contract in read)
    is_withdrawn = bool(ledger_partition) and not _has_loads(
        connection, loads, ledger_partition if is_divided else None
    )
    return Snapshot(start, row[0] if row else None, is_withdrawn, force or allowed)


def _first_day(recipe: Recipe, partition: str) -> datetime:
    try:
        return datetime.combine(partition_value(partition), time(), UTC)
    except ValueError:
        raise SqlFileError(
            f"{recipe.table.address('query.sql')}: expected a month or a day as the partition of a history with"
            f" parameters, such as 2021-04 or 2021-04-30, found {partition!r}; a history of a dataset without"
            " partitions takes no parameter"
        ) from None


def _has_loads(connection: Connection, loads: Sequence[int], partition: str | None) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ledger.loads WHERE load_id = ANY(%s) AND partition = coalesce(%s, partition))",
        [list(loads), partition],
    ).fetchone()
    return row == (True,)


def _delivery(connection: Connection, recipe: Recipe, loads: Sequence[int]) -> datetime | None:
    """The time of the newest load. A replay belongs to the delivery whose rejected rows it loads."""
    found = connection.execute(
        "SELECT max(loaded_at) FILTER (WHERE replay_of IS NULL), max(load_id) FROM ledger.loads"
        " WHERE load_id = ANY(%s)",
        [list(loads)],
    ).fetchone()
    delivered_at, newest = found or (None, None)
    last = connection.execute(
        "SELECT snapshot_at, (SELECT max(load_id) FROM unnest(load_ids) AS load_id) FROM ledger.builds"
        " WHERE table_name = %s AND partition = '' AND snapshot_at IS NOT NULL",
        [recipe.table.name],
    ).fetchone()
    if delivered_at is None:
        return None
    current: datetime = delivered_at
    if last is None or current >= last[0]:
        return current
    if newest > last[1]:
        raise SqlFileError(
            f"{recipe.table.address('query.sql')}: expected a delivery after the last snapshot of {recipe.table.name},"
            f" {last[0]:%Y-%m-%d %H:%M:%S.%f} UTC, found a load of {current:%Y-%m-%d %H:%M:%S.%f} UTC. The clock"
            " of the server went back, or two deliveries overlapped; load the object again with force"
        )
    kept: datetime = last[0]
    return kept  # no new delivery: the query reads fewer datasets than in the last build
