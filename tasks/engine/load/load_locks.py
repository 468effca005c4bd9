"""The locks of loads: loads of different objects of a partition run side by side, any other writer runs alone."""

from tasks.contracts import Contract
from tasks.contracts.keys import partition_value
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.partitions import partition_table
from tasks.engine.warehouse.tables import Connection, has_table, lock


def lock_name(contract: Contract, partition: str) -> str:
    """Return the name of the advisory lock of a partition. A load shares it; a delivery and a replay hold it alone."""
    return f"{contract.dataset} {partition}".strip()


def lock_object(connection: Connection, contract: Contract, source: ObjectRef) -> None:
    """Take the locks of a load until its transaction ends.

    Loads of different objects share the lock of their partition, so they can run side by side, and each holds the lock
    of its object. A load holds the lock of the partition alone if it creates the partition's table, or if its dataset
    consists of one object.
    """
    value = partition_value(source.partition) if contract.partition else None
    has_many = contract.partition is not None or contract.is_appended
    is_shared = has_many and has_table(connection, partition_table(contract, value))
    lock(connection, lock_name(contract, source.partition), is_shared=is_shared)
    if is_shared:
        lock(connection, f"{contract.dataset} {source.uri}")
