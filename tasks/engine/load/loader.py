"""The load of one object: writes its rows, rejected rows and ledger entry in one transaction."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal

from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.object_formats import is_seekable
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import Rows
from tasks.engine.lake.client import Lake
from tasks.engine.load.attempts import Attempt, Reconnect, recorded
from tasks.engine.load.error_budget import ErrorBudget
from tasks.engine.load.load_locks import lock_object
from tasks.engine.load.moved_objects import warnings_of_move
from tasks.engine.load.shrink_guard import check_shrink
from tasks.engine.load.volume_guard import check_volume
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.rejected_rows import RejectedRow
from tasks.engine.schema.column_guard import check_target
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.copy import CopyEncoder, copy_in
from tasks.engine.warehouse.partitions import (
    ensure_partition,
    holds_load,
    open_partition,
    partition_table,
    rows_of_partition,
    rows_of_value,
)
from tasks.engine.warehouse.statistics import refresh_statistics
from tasks.engine.warehouse.tables import Connection, has_table

REJECTED_BUFFER, REJECTED_BYTES = 10_000, 4 << 20
"""Maximum number and total size of rejected rows in memory. The COPY of valid rows pauses while they are written."""

Progress = Callable[[int, int], None]
"""Called with bytes read and rows read so far."""


def load_object(
    connection: Connection,
    lake: Lake,
    contract: Contract,
    source: ObjectRef,
    settings: RunSettings,
    *,
    force: bool = False,
    flow_run_id: str | None = None,
    on_progress: Progress | None = None,
    reconnect: Reconnect | None = None,
) -> LoadReceipt:
    """Load one object into its staging table, exactly once.

    If the same version was already loaded with an equivalent contract, the load is skipped. A new version replaces the
    object's rows when the transaction commits; readers see the old rows until then. In a dataset without partitions, a
    new object replaces the previous object regardless of its name, unless the contract appends objects. Each attempt
    that is not skipped is recorded in `ledger.load_attempts`.

    Args:
        connection: To the warehouse, outside a transaction.
        lake: The lake with the object.
        contract: The contract of the staging table.
        source: The object version to load.
        settings: The settings of the run.
        force: Whether to load the same version again, and to allow a replacement with fewer rows.
        flow_run_id: For the ledger.
        on_progress: Called with the progress of the load.
        reconnect: Opens another connection to record an attempt that lost its own.

    Raises:
        ErrorBudgetError: Too many rows were rejected. The table keeps its previous rows.
        ContractError: The object's columns do not match the contract.
        UnreadableObjectError: The object cannot be split into records.
        ObjectChangedError: Another writer replaced the object during the read.
        PartitionBusyError: Another run is writing the object or the partition.
        ShrinkError: The object has no rows, or too few rows to replace the current rows.
        VolumeError: The object has far fewer or far more rows than usual, and the contract refuses that.
        SchemaDriftError: The table's columns differ from the contract's columns.
    """
    started = time.monotonic()
    value = partition_value(source.partition) if contract.partition else None
    if not force and (loaded := same_load(connection, contract, source)):
        return load_receipt(connection, contract, source, loaded, "unchanged", started)
    budget = ErrorBudget(contract, source, settings)
    record = recorded(connection, source, budget, flow_run_id, reconnect)
    with record as attempt, errors_at(f"{contract.table}, {source.uri}"):
        if contract.partition and value and contract.partition.span != "unit":
            ensure_partition(connection, contract, value)
        with connection.transaction():
            lock_object(connection, contract, source)
            if not force and (loaded := same_load(connection, contract, source)):
                attempt.succeed(connection, loaded.load_id, is_unchanged=True)
                return load_receipt(connection, contract, source, loaded, "unchanged", started)
            return load_locked(
                connection,
                lake,
                contract,
                source,
                settings,
                attempt,
                force=force,
                flow_run_id=flow_run_id,
                on_progress=on_progress,
            )


def load_locked(
    connection: Connection,
    lake: Lake,
    contract: Contract,
    source: ObjectRef,
    settings: RunSettings,
    attempt: Attempt,
    *,
    force: bool,
    flow_run_id: str | None,
    on_progress: Progress | None,
) -> LoadReceipt:
    """Load one object in a transaction that holds the locks of the load.

    Args:
        connection: A connection in that transaction.
        lake: The lake with the object.
        contract: The contract of the staging table.
        source: The object version to load.
        settings: The settings of the run.
        attempt: The entry of this attempt in the ledger.
        force: Whether to allow a replacement with fewer rows.
        flow_run_id: For the ledger.
        on_progress: Called with the progress of the load.

    Raises:
        TallyError: As `load_object`.
    """
    started = time.monotonic()
    value = partition_value(source.partition) if contract.partition else None
    earlier = ledger.find_load(connection, contract.dataset, source, is_appended=contract.is_appended)
    before = ledger.count_current_rows(connection, earlier.load_id) if earlier else 0
    check_target(connection, contract, value)
    load_id = ledger.open_load(
        connection, contract.dataset, source, flow_run_id, contract_digest(contract), is_appended=contract.is_appended
    )
    run = _Run(connection, attempt.budget, load_id, on_progress)
    seeks = is_seekable(source.uri, contract)
    with lake.open(source, run.count_bytes, is_seekable=seeks) as file:  # a thread starts to read in advance
        if earlier:
            _delete_superseded(connection, contract, source, earlier, load_id)
        with open_partition(connection, contract, value, load_id) as target:
            with closing(read_batches(file, source.uri, contract, settings.chunk_bytes)) as batches:
                run.copy_all(CopyEncoder(contract, target), batches)
            run.budget.check()
            check_shrink(contract, source.uri, settings, before=before, after=run.rows_loaded, force=force)
            warnings = check_volume(connection, contract, source, rows=run.rows_read, force=force)
            warnings += warnings_of_move(connection, contract, source, earlier)
        refresh_statistics(connection, target.table, run.rows_loaded)
    ledger.close_load(connection, load_id, run.rows_loaded, run.rows_rejected, run.columns)
    attempt.succeed(connection, load_id, warnings=warnings)
    entry = ledger.LoadEntry(
        load_id,
        source.partition,
        source.uri,
        source.version,
        run.rows_read,
        run.rows_loaded,
        run.rows_rejected,
    )
    receipt = load_receipt(connection, contract, source, entry, "replaced" if earlier else "loaded", started)
    return replace(receipt, unknown_columns=run.unknown_columns, warnings=warnings)


@errors_at("ledger.loads")
def same_load(connection: Connection, contract: Contract, source: ObjectRef) -> ledger.LoadEntry | None:
    """Return the load of this object version with this contract, if its rows are in the table."""
    entry = ledger.find_load(connection, contract.dataset, source, is_appended=contract.is_appended)
    if entry is None or not entry.is_of(source, contract_digest(contract)):
        return None
    # Somebody may have removed the rows outside Tally.
    has_rows = not entry.rows_loaded or holds_load(connection, contract, entry.partition, entry.load_id)
    return entry if has_rows else None


def _delete_superseded(
    connection: Connection, contract: Contract, source: ObjectRef, earlier: ledger.LoadEntry, load_id: int
) -> None:
    """Delete the rows of the loads that a load supersedes."""
    if earlier.partition == source.partition:
        value = partition_value(earlier.partition) if contract.partition else None
        if not has_table(connection, partition_table(contract, value)):
            return  # the table was dropped outside Tally
        rows = rows_of_partition(contract, earlier.partition)
    else:
        # The template of the keys or the unit of the partitions has changed since. Postgres finds the table of the
        # earlier partition, because its name follows the unit.
        rows = rows_of_value(contract, earlier.partition)
    superseded = sql.SQL("SELECT load_id FROM ledger.loads WHERE superseded_by = %s")
    connection.execute(sql.SQL("DELETE FROM {} AND load_id IN ({})").format(rows, superseded), [load_id])


def load_receipt(
    connection: Connection,
    contract: Contract,
    source: ObjectRef,
    entry: ledger.LoadEntry,
    status: Literal["loaded", "replaced", "unchanged"],
    started: float,
) -> LoadReceipt:
    """Return the receipt of a load from its entry in the ledger."""
    return LoadReceipt(
        dataset=contract.dataset,
        table=contract.table,
        partition=source.partition,
        source_uri=source.uri,
        source_version=source.version,
        status=status,
        load_id=entry.load_id,
        rows_read=entry.rows_read,
        rows_loaded=entry.rows_loaded,
        rows_rejected=entry.rows_rejected,
        seconds=time.monotonic() - started,
        reasons=ledger.count_by_reason(connection, entry.load_id) if entry.rows_rejected else (),
    )


@dataclass
class _Run:
    """The mutable state of one load."""

    connection: Connection
    budget: ErrorBudget
    load_id: int
    on_progress: Progress | None
    bytes_read: int = 0
    rows_loaded: int = 0
    columns: tuple[str, ...] = ()
    unknown_columns: tuple[str, ...] = ()
    _held: list[RejectedRow] = field(default_factory=list)
    _held_bytes: int = 0

    @property
    def rows_rejected(self) -> int:
        return self.budget.rows_rejected

    @property
    def rows_read(self) -> int:
        return self.rows_loaded + self.rows_rejected

    def count_bytes(self, count: int) -> None:
        """Count bytes that were read."""
        self.bytes_read += count

    def copy_all(self, encoder: CopyEncoder, batches: Iterator[Batch]) -> None:
        """Write the valid and the rejected rows of all batches."""
        while True:
            copy_in(self.connection, encoder, self._rows(encoder, batches), self._count_rows)
            more = self._must_write()
            ledger.write_rejected(self.connection, self.load_id, self._held)
            self._held.clear()
            self._held_bytes = 0
            if not more:
                return

    def _rows(self, encoder: CopyEncoder, batches: Iterator[Batch]) -> Iterator[Rows]:
        """Yield encoded rows until the batches end or the rejected rows must be written."""
        for batch in batches:
            rows = encoder.encode(batch)
            self.columns, self.unknown_columns = batch.columns.names, batch.columns.unknown
            self._held += rows.rejected
            self._held_bytes += sum(len(row.raw) for row in rows.rejected)
            self.budget.count(rows.count, rows.rejected, self.columns)
            sent = replace(rows, rejected=[])
            del batch, rows  # frees the memory before the next batch is read
            yield sent
            del sent
            if self._must_write():
                return

    def _must_write(self) -> bool:
        """Return whether the rejected rows in memory have reached a limit."""
        return len(self._held) >= REJECTED_BUFFER or self._held_bytes >= REJECTED_BYTES

    def _count_rows(self, count: int) -> None:
        self.rows_loaded += count
        if self.on_progress and count:
            self.on_progress(self.bytes_read, self.rows_read)
