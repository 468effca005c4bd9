"""The replay of rejected rows: parses them again with the current contract and loads the valid rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from psycopg import Rollback

from tasks.contracts import Contract
from tasks.contracts.formats import Csv, FixedWidth, Parquet
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import BalanceError, errors_at
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import match_columns
from tasks.engine.formats.csv_records import CsvRecords
from tasks.engine.formats.encodings import text_of
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.object_formats import format_of
from tasks.engine.load import rejections
from tasks.engine.load.load_locks import lock_name
from tasks.engine.load.rejections import RejectedLoad
from tasks.engine.receipts import ReplayReceipt
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow
from tasks.engine.schema.column_guard import check_target
from tasks.engine.warehouse.copy import CopyEncoder, copy_in
from tasks.engine.warehouse.partitions import target_of
from tasks.engine.warehouse.tables import Connection, lock

_NOT_ONE_RECORD = Reason(ReasonCode.NOT_ONE_RECORD, "expected exactly one record")


def replay_load(
    connection: Connection, contract: Contract, load: RejectedLoad, flow_run_id: str | None = None
) -> ReplayReceipt:
    """Parse the open rejected rows of one load again with the current contract, in one transaction.

    Valid rows are loaded under a separate ledger entry and marked as resolved. The other rows stay unchanged. The entry
    belongs to the original load: a new version of the object supersedes both. If no row is valid, no entry is written.

    Raises:
        BalanceError: Another writer changed the rejected rows meanwhile.
        ContractError: The contract requires columns that the object does not have.
        PartitionBusyError: Another run is writing the partition.
        SchemaDriftError: The table's columns differ from the contract's columns.
    """
    value = partition_value(load.partition) if contract.partition else None
    taken, errors = 0, Counter[str]()
    replay_id: int | None = None
    with errors_at(f"replay of load {load.load_id}, {load.source_uri}"), connection.transaction():
        lock(connection, lock_name(contract, load.partition))
        # Meanwhile another run may have replaced the object or replayed the same rows.
        if load in rejections.rejected_loads(connection, contract.dataset, load.partition):
            check_target(connection, contract, value)
            replay_id = rejections.open_replay(connection, contract.dataset, load, flow_run_id)
            encoder = CopyEncoder(contract, target_of(contract, value, replay_id))
            for rows in rejections.open_rows(connection, load.load_id):
                again = encoder.encode(_at_original_lines(contract, load, rows))
                copy_in(connection, encoder, iter([again]), lambda _: None)
                left = {row.line_number for row in again.rejected}
                closed = rejections.resolve(connection, [i for i, _, _ in rows if i not in left], replay_id)
                if closed != again.count:
                    raise BalanceError(
                        f"{load.source_uri}: expected {again.count:,} rejected rows to be marked as resolved, found"
                        f" {closed:,}. Nothing was committed. Find the other writer of ledger.rejected_rows"
                    )
                taken += closed
                errors.update(row.reason for row in again.rejected)
            ledger.close_load(connection, replay_id, taken, 0, load.columns)
            if not taken:
                raise Rollback
    return ReplayReceipt(
        dataset=contract.dataset,
        partition=load.partition,
        source_uri=load.source_uri,
        replay_of=load.load_id,
        load_id=replay_id if taken else None,
        rows_loaded=taken,
        rows_left=errors.total(),
        reasons=tuple(errors.most_common()),
    )


def _at_original_lines(contract: Contract, load: RejectedLoad, rows: Sequence[tuple[int, int, bytes]]) -> Batch:
    """Parse rejected rows into a batch whose valid rows keep the line numbers of their object."""
    line_of = {row_id: line for row_id, line, _ in rows}
    batch = replay_batch(contract, load, [(row_id, raw) for row_id, _, raw in rows])
    valid = batch.records_of(range(batch.strings.row_count))
    return replace(batch, lines=LineNumbers.of(line_of[row_id] for row_id, _ in valid))


def replay_batch(contract: Contract, load: RejectedLoad, rows: Sequence[tuple[int, bytes]]) -> Batch:
    """Parse rejected rows into a batch. The ids of the rows replace the line numbers.

    CSV records are parsed with the header of their object. JSON records contain their column names. So do the
    rows of parquet, which the ledger stores as JSON.
    """
    form, _ = format_of(load.source_uri, contract)
    if not isinstance(form, Parquet):
        rows = [(row_id, text_of(raw, form.encoding)) for row_id, raw in rows]
    if isinstance(form, Csv):
        return _csv_batch(contract, load, form, rows)
    if isinstance(form, FixedWidth):
        from tasks.engine.formats.fixed_width_reader import FixedWidthSlicer  # noqa: PLC0415 - CSV does without polars

        return FixedWidthSlicer(contract, load.source_uri, form).batch(rows)
    from tasks.engine.formats.json_reader import RecordKeys, json_batch  # noqa: PLC0415 - CSV does without polars

    return json_batch(rows, RecordKeys(contract, load.source_uri))


def _csv_batch(contract: Contract, load: RejectedLoad, dialect: Csv, rows: Sequence[tuple[int, bytes]]) -> Batch:
    columns = match_columns(contract, load.columns, load.source_uri)
    valid: list[tuple[int, bytes]] = []
    rejected: list[RejectedRow] = []
    for row_id, raw in rows:
        # The line end shows whether the record is complete: an escape at its end would join it with the next one.
        alone = CsvRecords(raw + b"\n", columns, dialect=dialect, is_last=False)
        if alone.row_count == 1 and not alone.rejected_count and not alone.is_full:
            valid.append((row_id, raw))
        else:
            reasons = [row.why for row in CsvRecords(raw, columns, dialect=dialect).rejected()] or [_NOT_ONE_RECORD]
            rejected.append(RejectedRow(row_id, None, reasons[0], raw))
    together = CsvRecords(b"\n".join(raw for _, raw in valid), columns, dialect=dialect).batch()
    return replace(together, records_of=lambda places: [valid[place] for place in places], rejected=rejected)
