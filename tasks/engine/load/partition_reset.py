"""The reset of a partition: deletes its rows from the staging table, so that its built tables lose them, too."""

from dataclasses import dataclass

from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.load.load_locks import lock_name
from tasks.engine.warehouse.partitions import partition_table, rows_of_partition
from tasks.engine.warehouse.tables import Connection, has_table, lock


@dataclass(frozen=True)
class PartitionReset:
    """The rows that the reset of a partition deletes.

    Attributes:
        table: The staging table.
        objects: Addresses of the loaded objects.
        row_count: Number of their rows, replayed rows included.
    """

    dataset: str
    partition: str
    table: str
    objects: tuple[str, ...]
    row_count: int


def plan_partition_reset(connection: Connection, contract: Contract, partition: str) -> PartitionReset:
    """Plan the reset of a partition; write nothing."""
    has_ledger = has_table(connection, "ledger.loads")
    loads = ledger.current_loads(connection, contract.dataset, partition) if has_ledger else {}
    count = sum(ledger.count_current_rows(connection, entry.load_id) for entry in loads.values())
    return PartitionReset(contract.dataset, partition, contract.table, tuple(sorted(loads)), count)


def reset_partition(connection: Connection, contract: Contract, partition: str) -> PartitionReset:
    """Delete the rows of a partition in one transaction, and mark its loads as removed.

    A backfill then loads the objects that the lake holds of the partition, or builds its tables without rows.

    Args:
        connection: To the warehouse, outside a transaction.
        contract: Contract of the staging table.
        partition: Name of the partition.

    Raises:
        PartitionBusyError: Another run is writing the partition.
    """
    with errors_at(f"reset of {contract.dataset} {partition}"), connection.transaction():
        lock(connection, lock_name(contract, partition))
        found = plan_partition_reset(connection, contract, partition)
        if not found.objects:
            return found
        current = ledger.current_loads(connection, contract.dataset, partition)
        ids = ledger.remove_loads(connection, [entry.load_id for entry in current.values()])
        if has_table(connection, partition_table(contract, partition_value(partition))):
            rows = rows_of_partition(contract, partition)
            connection.execute(sql.SQL("DELETE FROM {} AND load_id = ANY(%s)").format(rows), [ids])
    return found
