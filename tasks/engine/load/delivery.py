"""The load of a corrected delivery: new objects replace the objects that the supplier removed, in one transaction."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.lake.client import Lake
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.load.attempts import Reconnect, recorded
from tasks.engine.load.error_budget import ErrorBudget
from tasks.engine.load.load_locks import lock_name
from tasks.engine.load.loader import Progress, load_locked, load_receipt, same_load
from tasks.engine.load.shrink_guard import check_shrink
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.partitions import loads_with_rows, partition_table, rows_of_partition
from tasks.engine.warehouse.tables import Connection, has_table, lock


def removed_loads(
    connection: Connection, contract: Contract, partition: str, delivery: Delivery
) -> list[ledger.LoadEntry]:
    """Return the current loads of objects that the supplier removed from a partition.

    A dataset without partitions has no such loads: an appended object keeps its rows, and any other object replaces
    the previous object.
    """
    if contract.partition is None or not delivery.sources:
        return []
    current = ledger.current_loads(connection, contract.dataset, partition)
    return [current[uri] for uri in delivery.removed(current)]


def known_loads(
    connection: Connection, contract: Contract, partition: str, sources: Sequence[ObjectRef]
) -> list[LoadReceipt]:
    """Return the receipts of the objects that are already loaded in this version and with this contract.

    Two queries decide for all objects. The result leaves out loads whose rows are gone. In a dataset without
    partitions, it leaves them out only if the table has no row at all.
    """
    started, digest = time.monotonic(), contract_digest(contract)
    current = ledger.current_loads(connection, contract.dataset, partition)
    found = [(source, current[source.uri]) for source in sources if source.uri in current]
    same = [(source, entry) for source, entry in found if entry.is_of(source, digest)]
    kept = loads_with_rows(connection, contract, partition) if same else frozenset()
    return [
        load_receipt(connection, contract, source, entry, "unchanged", started)
        for source, entry in same
        if not entry.rows_loaded or kept is None or entry.load_id in kept
    ]


def load_delivery(
    connection: Connection,
    lake: Lake,
    contract: Contract,
    partition: str,
    listing: Callable[[], Delivery],
    settings: RunSettings,
    *,
    reconnect: Reconnect,
    force: bool = False,
    flow_run_id: str | None = None,
    on_progress: Callable[[ObjectRef], Progress] | None = None,
) -> list[LoadReceipt]:
    """Load the objects of a partition, and delete the rows of the objects that the supplier removed from it.

    Readers see the rows of the old delivery or those of the new one, never both and never a part. If one object fails,
    the partition keeps its previous rows.

    Args:
        connection: To the warehouse, outside a transaction.
        lake: The lake with the objects.
        contract: The contract of the staging table.
        partition: Name of the partition.
        listing: Lists the partition. The call follows the lock, so that no other run loads a newer object meanwhile.
        settings: The settings of the run.
        reconnect: Opens another connection, which records the attempts even if the load fails.
        force: Whether to load the same versions again, and to allow fewer rows.
        flow_run_id: For the ledger.
        on_progress: Returns the function that is called with the progress of an object's load.

    Returns:
        The receipts of all objects, then one receipt with the status `removed` for each removed object.

    Raises:
        TallyError: As `load_object`.
        ShrinkError: The new delivery has no rows, or too few, in place of the rows of the removed objects.
    """
    with ExitStack() as attempts, errors_at(f"{contract.table}, {partition}"):
        recorder = attempts.enter_context(reconnect())
        with connection.transaction():
            lock(connection, lock_name(contract, partition))
            delivery = listing()
            receipts = []
            for source in delivery.sources:
                started = time.monotonic()
                if not force and (loaded := same_load(connection, contract, source)):
                    receipts.append(load_receipt(connection, contract, source, loaded, "unchanged", started))
                    continue
                budget = ErrorBudget(contract, source, settings)
                # A failure of any object ends all these attempts as failed, because none of their rows is committed.
                attempt = attempts.enter_context(recorded(recorder, source, budget, flow_run_id, reconnect))
                with errors_at(f"{contract.table}, {source.uri}"):
                    receipts.append(
                        load_locked(
                            connection,
                            lake,
                            contract,
                            source,
                            settings,
                            attempt,
                            force=force,
                            flow_run_id=flow_run_id,
                            on_progress=on_progress(source) if on_progress else None,
                        )
                    )
            removed = removed_loads(connection, contract, partition, delivery)
            if removed:
                _check_kept(connection, contract, partition, removed, settings, force=force)
                receipts += _remove(connection, contract, partition, removed)
    return receipts


def _check_kept(
    connection: Connection,
    contract: Contract,
    partition: str,
    removed: Sequence[ledger.LoadEntry],
    settings: RunSettings,
    *,
    force: bool,
) -> None:
    """Refuse a removal that leaves too few rows, like a replacement with too few rows.

    The rows of loads that are newer than all removed loads count as the replacement. Older loads count on both sides.
    """
    ids = [entry.load_id for entry in removed]
    row = connection.execute(
        "SELECT coalesce(sum(rows_loaded) FILTER (WHERE is_removed OR load_id < %(newest)s), 0)::bigint,"
        " coalesce(sum(rows_loaded) FILTER (WHERE NOT is_removed), 0)::bigint FROM (SELECT load_id, rows_loaded,"
        " coalesce(replay_of, load_id) = ANY(%(ids)s) AS is_removed FROM ledger.loads"
        " WHERE dataset = %(dataset)s AND partition = %(partition)s AND status = 'loaded') AS loads",
        {"ids": ids, "newest": max(ids), "dataset": contract.dataset, "partition": partition},
    ).fetchone()
    before, after = row or (0, 0)
    check_shrink(
        contract, f"{contract.dataset} {partition}", settings, before=int(before), after=int(after), force=force
    )


def _remove(
    connection: Connection, contract: Contract, partition: str, removed: Sequence[ledger.LoadEntry]
) -> list[LoadReceipt]:
    """Delete the rows of removed objects, and mark their loads and the replays of these loads."""
    counts = {entry.load_id: ledger.count_current_rows(connection, entry.load_id) for entry in removed}
    ids = ledger.remove_loads(connection, list(counts))
    if has_table(connection, partition_table(contract, partition_value(partition))):
        rows = rows_of_partition(contract, partition)
        connection.execute(sql.SQL("DELETE FROM {} AND load_id = ANY(%s)").format(rows), [ids])
    return [
        LoadReceipt(
            dataset=contract.dataset,
            table=contract.table,
            partition=partition,
            source_uri=entry.source_uri,
            source_version=entry.source_version,
            status="removed",
            load_id=entry.load_id,
            rows_read=0,
            rows_loaded=0,
            rows_rejected=0,
            seconds=0.0,
            warnings=(
                f"{entry.source_uri}: expected this loaded object in the lake, found that the supplier removed it from"
                f" {partition}; its {counts[entry.load_id]:,} rows were deleted",
            ),
        )
        for entry in removed
    ]
