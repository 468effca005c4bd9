"""Objects that move to another partition because the key template or the unit of the partitions changed."""

from tasks.contracts import Contract
from tasks.contracts.keys import has_unit
from tasks.engine import ledger
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.tables import Connection


def warnings_of_move(
    connection: Connection, contract: Contract, source: ObjectRef, earlier: ledger.LoadEntry | None
) -> tuple[str, ...]:
    """Warn if an object was the last one of the partition that it left.

    The next backfill or catch-up builds the tables of this partition without its rows. No run builds a partition of
    another unit, such as a month of a dataset that has days now, so its rows remain in the built tables until a reset.

    Args:
        connection: A connection in the transaction of the load.
        contract: Contract of the staging table.
        source: The object, with its new partition.
        earlier: The load that the new load supersedes.

    Returns:
        At most one warning.
    """
    before = earlier.partition if earlier else source.partition
    if before == source.partition or ledger.current_loads(connection, contract.dataset, before):
        return ()
    unit = contract.partition.unit if contract.partition else None
    if before and unit and has_unit(before, unit):
        outcome = "The next backfill or catch-up removes the rows of the tables that were built from it"
    else:
        outcome = (
            "No run builds its tables any more, because the unit of the partitions changed, so they may keep its rows."
            f" To remove them, run reset for dataset {contract.dataset}, and then the pipeline for all partitions"
        )
    return (
        f"{source.uri}: the object moved from partition {before or '(whole dataset)'} to"
        f" {source.partition or '(whole dataset)'}, and no object is loaded into {before or 'the whole dataset'} now."
        f" {outcome}",
    )
