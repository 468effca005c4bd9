"""The load of one object: its rows, its rejected rows, its ledger entry and what it replaces, in one transaction."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import Rows
from tasks.engine.lake.client import Lake
from tasks.engine.ledger import RejectedRow
from tasks.engine.load.attempts import Reconnect, recorded
from tasks.engine.load.error_budget import ErrorBudget
from tasks.engine.load.shrink_guard import check_shrink
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.schema.column_guard import check_target
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.copy import CopyEncoder, copy_in
from tasks.engine.warehouse.partitions import (
    ensure_partition,
    holds_load,
    open_partition,
    partition_table,
    rows_of_partition,
)
from tasks.engine.warehouse.tables import Connection, has_table, lock

REJECTED_BUFFER, REJECTED_BYTES = 10_000, 4 << 20
"""Rejected rows, and their bytes, that are held before they are written; a COPY of rows pauses for that."""

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

    The same content again is no work, unless the contract makes other rows of it now. New content under the same name
    replaces the object's rows when the transaction commits; readers see the old rows until then. A table without
    partitions holds one object: the next one replaces it, whatever its name. Each attempt with work to do has its entry
    in `ledger.load_attempts`.

    Args:
        connection: To the warehouse, outside of a transaction.
        lake: Where the object is.
        contract: Of the staging table.
        source: The version to load.
        settings: Of the run.
        force: Load the same content again, and replace rows by however few.
        flow_run_id: For the ledger.
        on_progress: Told how far the load is.
        reconnect: Opens another connection, which records an attempt that lost its own.

    Raises:
        ErrorBudgetError: Too many rows were rejected; the table keeps its previous rows.
        ContractError: The object's columns do not fit.
        UnreadableObjectError: Its bytes cannot be told apart into records.
        ObjectChangedError: It was replaced during the read.
        PartitionBusyError: Another run is writing the partition.
        ShrinkError: It would replace rows by none, or by too few.
        SchemaDriftError: The table's columns differ from the contract's.
    """
    started = time.monotonic()
    value = partition_value(source.partition) if contract.partition else None
    if not force and (loaded := _same_load(connection, contract, source)):
        return _receipt(connection, contract, source, loaded, "unchanged", started)
    budget = ErrorBudget(contract, source, settings)
    record = recorded(connection, source, budget, flow_run_id, reconnect)
    with record as attempt, errors_at(f"{contract.table}, {source.uri}"):
        if contract.partition and value and contract.partition.span != "unit":
            ensure_partition(connection, contract, value)
        with connection.transaction():
            lock(connection, f"{contract.dataset} {source.partition}".strip())
            if not force and (loaded := _same_load(connection, contract, source)):
                attempt.succeed(connection, loaded.load_id, is_unchanged=True)
                return _receipt(connection, contract, source, loaded, "unchanged", started)
            earlier = ledger.find_load(connection, contract.dataset, source)
            before = ledger.count_current_rows(connection, earlier.load_id) if earlier else 0
            check_target(connection, contract, value)
            load_id = ledger.open_load(connection, contract.dataset, source, flow_run_id, contract_digest(contract))
            run = _Run(connection, attempt.budget, load_id, on_progress)
            with lake.open(source, run.count_bytes) as file:  # which is read ahead from here on
                if earlier:
                    _delete_superseded(connection, contract, earlier, load_id)
                with open_partition(connection, contract, value, load_id) as target:
                    batches = read_batches(file, source.uri, contract, settings.chunk_bytes)
                    run.copy_all(CopyEncoder(contract, target), batches)
                    run.budget.check()
                    check_shrink(contract, source, settings, before=before, after=run.rows_loaded, force=force)
            ledger.close_load(connection, load_id, run.rows_loaded, run.rows_rejected, run.columns)
            attempt.succeed(connection, load_id)
        entry = ledger.LoadEntry(
            load_id,
            source.partition,
            source.uri,
            source.version,
            run.rows_read,
            run.rows_loaded,
            run.rows_rejected,
        )
        return _receipt(
            connection, contract, source, entry, "replaced" if earlier else "loaded", started, run.unknown_columns
        )


@errors_at("ledger.loads")
def _same_load(connection: Connection, contract: Contract, source: ObjectRef) -> ledger.LoadEntry | None:
    """The load of this very version of an object under this very contract, if its rows are in the table."""
    entry = ledger.find_load(connection, contract.dataset, source)
    is_same = entry and entry.is_of(source, contract_digest(contract))
    return entry if entry and is_same and holds_load(connection, contract, entry) else None


def _delete_superseded(connection: Connection, contract: Contract, earlier: ledger.LoadEntry, load_id: int) -> None:
    """Delete the rows of the loads that a load supersedes."""
    # Not always in the same partition: the template of the keys may have changed since.
    before = partition_value(earlier.partition) if contract.partition else None
    if not has_table(connection, partition_table(contract, before)):
        return  # somebody has dropped it
    superseded = sql.SQL("SELECT load_id FROM ledger.loads WHERE superseded_by = %s")
    rows = rows_of_partition(contract, earlier.partition)
    connection.execute(sql.SQL("DELETE FROM {} AND load_id IN ({})").format(rows, superseded), [load_id])


def _receipt(
    connection: Connection,
    contract: Contract,
    source: ObjectRef,
    entry: ledger.LoadEntry,
    status: Literal["loaded", "replaced", "unchanged"],
    started: float,
    unknown_columns: tuple[str, ...] = (),
) -> LoadReceipt:
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
        unknown_columns=unknown_columns,
    )


@dataclass
class _Run:
    """The moving parts of one load."""

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
        """Take note of bytes that were read."""
        self.bytes_read += count

    def copy_all(self, encoder: CopyEncoder, batches: Iterator[Batch]) -> None:
        """Write all batches, good rows and rejected ones."""
        while True:
            copy_in(self.connection, encoder, self._rows(encoder, batches), self._count_rows)
            more = self._must_write()
            ledger.write_rejected(self.connection, self.load_id, self._held)
            self._held.clear()
            self._held_bytes = 0
            if not more:
                return

    def _rows(self, encoder: CopyEncoder, batches: Iterator[Batch]) -> Iterator[Rows]:
        """Rows, until the batches end or the rejected ones must be written."""
        for batch in batches:
            rows = encoder.encode(batch)
            self.columns, self.unknown_columns = batch.columns.names, batch.columns.unknown
            self._held += rows.rejected
            self._held_bytes += sum(len(row.raw) for row in rows.rejected)
            self.budget.count(rows.count, rows.rejected, self.columns)
            sent = replace(rows, rejected=[])
            del batch, rows  # before the next one is made
            yield sent
            del sent
            if self._must_write():
                return

    def _must_write(self) -> bool:
        """Whether the rejected rows that are held take as much memory as they may."""
        return len(self._held) >= REJECTED_BUFFER or self._held_bytes >= REJECTED_BYTES

    def _count_rows(self, count: int) -> None:
        self.rows_loaded += count
        if self.on_progress and count:
            self.on_progress(self.bytes_read, self.rows_read)
