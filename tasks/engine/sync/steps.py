"""The steps of a sync: copy a snapshot of a source to the CSV store, convert it to Parquet, and move loaded files.

A step that died can run again. The step first looks for existing files. A file is visible only when it is complete, and
the change of the ledger comes last. The caller holds the pipeline's lock.
"""

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import NoReturn

from tasks.contracts import Contract
from tasks.contracts.source_table import SourceTable
from tasks.engine.build.sql_files import tables_of
from tasks.engine.errors import BalanceError, ParameterError, errors_at
from tasks.engine.lake.client import StoredObject
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.sync import runs as sync_runs
from tasks.engine.sync.run_store import RunStore
from tasks.engine.sync.runs import SyncRun
from tasks.engine.sync.source import Snapshot, Watermark
from tasks.engine.warehouse.tables import Connection

EXPORTS = 2
"""Maximum number of files that are written at the same time: one receives rows, and the store completes the other."""

CONVERSIONS = 2
"""Maximum number of files that are converted side by side: each uses one core and the store."""


@dataclass(frozen=True)
class Settled:
    """The decision about an unfinished run.

    Attributes:
        run: Run to complete before a new run; None without such a run.
        superseded: Number of a run that died before its files in the CSV store were complete.
        left_files: Files of the superseded run, which remain unused.
    """

    run: SyncRun | None = None
    superseded: int | None = None
    left_files: tuple[str, ...] = ()


def settle_run(connection: Connection, csv: RunStore, pipeline: str) -> Settled:
    """Find a dead run, and decide whether to complete or to supersede it.

    A run must be completed if the marker of the CSV store names it.
    """
    run = sync_runs.unfinished_run(connection, pipeline)
    if run is None or run.status != "extracting":
        return Settled(run)
    csv.abort_uploads(run.run_number)
    files = csv.files(run.run_number)
    if csv.is_marked(run.run_number):
        csv.mark_complete(run.run_number)
        return Settled(sync_runs.advance_run(connection, run, "exported"))
    sync_runs.advance_run(connection, run, "superseded")
    return Settled(None, run.run_number, tuple(csv.lake.uri(stored.key) for stored in files.values()))


def give_up_run(connection: Connection, pipeline: str, run_number: int) -> None:
    """Supersede a run that cannot be completed. Its files remain, and the next extraction takes all rows.

    Raises:
        ParameterError: The run is not the one that died, or the warehouse has its changes.
    """
    run = sync_runs.unfinished_run(connection, pipeline)
    if run is None or run.run_number != run_number or run.status == "loaded":
        found = f"run {run.run_number} in status {run.status}" if run else "no unfinished run"
        raise ParameterError(
            f"give_up: expected the number of the run of {pipeline} that died before its changes were in the warehouse,"
            f" found {run_number}, and in ledger.sync_runs {found}. Run without give_up"
        )
    sync_runs.advance_run(connection, run, "superseded")


def last_watermark(connection: Connection, pipeline: str) -> Watermark | None:
    """The watermark of the last run that is complete in the CSV store."""
    last = sync_runs.last_exported_run(connection, pipeline)
    return Watermark(**last.watermark) if last else None


def begin_run(
    connection: Connection,
    snapshot: Snapshot,
    pipeline: str,
    schemas: Sequence[str] = (),
    *,
    is_full: bool = False,
    above: int = 0,
    flow_run_id: str | None = None,
) -> tuple[SyncRun, Watermark | None, str]:
    """Begin a run that extracts the changes since the last complete run in the CSV store.

    Args:
        connection: To the warehouse.
        snapshot: Snapshot of the source.
        pipeline: Pipeline of the run.
        schemas: Schemas whose tables the rows fill. A table that is new since the last run needs all rows.
        is_full: Extract all rows.
        above: See `tasks.engine.sync.runs.begin_run`.
        flow_run_id: Id of the flow run, for the ledger.

    Returns:
        The run; the watermark to extract from, None for all rows; and the reason, for the log.
    """
    built = _built_tables(connection, schemas)
    last = last_watermark(connection, pipeline)
    since, reason = snapshot.usable(None if is_full else last)
    if since and since.built and (added := sorted(name for name, oid in built.items() if since.built.get(name) != oid)):
        since, reason = None, f"all rows: tables are new since the last run: {', '.join(added)}"
    counts = {table.name: snapshot.count_changed(table, since) for table in snapshot.tables}
    run = sync_runs.begin_run(
        connection,
        pipeline,
        is_full=since is None,
        watermark=asdict(replace(snapshot.watermark, built=built)),
        row_counts={table: count for table, count in counts.items() if count},
        above=above,
        flow_run_id=flow_run_id,
    )
    return run, since, "all rows, as requested" if is_full else reason


def export_run(
    connection: Connection, snapshot: Snapshot, csv: RunStore, run: SyncRun, since: Watermark | None
) -> SyncRun:
    """Copy the changed tables of a new run to the CSV store; a table without changes has no file.

    The source sends one table after the other. While the store completes a file, the source sends the next table.

    Args:
        connection: To the warehouse.
        snapshot: Snapshot of the run.
        csv: The CSV store.
        run: The new run.
        since: Watermark to extract from.
    """
    tables = [table for table in snapshot.tables if table.name in run.row_counts]
    turns = [Event() for _ in range(len(tables) + 1)]
    turns[0].set()

    def export(table: SourceTable, turn: Event, next_turn: Event) -> None:
        try:
            with closing(_in_turn(snapshot.copy_changed(table, since), turn, next_turn)) as blocks:
                csv.write(run.run_number, table.name, blocks)
        finally:
            next_turn.set()

    with ThreadPoolExecutor(EXPORTS) as pool:  # the first error cancels the tables that wait
        list(pool.map(export, tables, turns, turns[1:]))
    sync_runs.confirm_run(connection, run)
    csv.mark_complete(run.run_number)
    return sync_runs.advance_run(connection, run, "exported")


def _in_turn(blocks: Iterable[bytes], turn: Event, next_turn: Event) -> Generator[bytes]:
    """Yield blocks from the beginning of a turn, and begin the next turn after the last block."""
    turn.wait()
    yield from blocks
    next_turn.set()


def convert_run(
    connection: Connection, csv: RunStore, parquet: RunStore, run: SyncRun, contracts: Sequence[Contract]
) -> SyncRun:
    """Convert the files of an exported run to Parquet, side by side, the largest first.

    Args:
        connection: To the warehouse.
        csv: The CSV store.
        parquet: The Parquet store.
        run: A run with the status `exported` or later.
        contracts: Contracts of the source's tables.
    """
    if run.status != "exported":
        return run
    known = by_table(contracts)
    parquet.abort_uploads(run.run_number)
    current, files = parquet.files(run.run_number), csv.files(run.run_number)
    waiting = [table for table in run.row_counts if table not in current]
    sources = {table: _ref(csv, files.get(table) or _missing(csv, run, table)) for table in waiting}
    waiting.sort(key=lambda table: sources[table].size_bytes, reverse=True)
    with ThreadPoolExecutor(CONVERSIONS) as pool:  # the first error cancels the files that wait
        list(pool.map(lambda table: _convert(csv, parquet, run, table, sources[table], known[table]), waiting))
    sync_runs.confirm_run(connection, run)
    parquet.mark_complete(run.run_number)
    return sync_runs.advance_run(connection, run, "converted")


def _convert(csv: RunStore, parquet: RunStore, run: SyncRun, table: str, source: ObjectRef, contract: Contract) -> None:
    from tasks.engine.sync.parquet_writer import MisfitError, ParquetBlocks  # noqa: PLC0415 - Arrow is slow to import

    row_count, as_text = run.row_counts[table], frozenset[str]()
    while True:
        try:
            parquet.write(run.run_number, table, ParquetBlocks(csv.lake, source, contract, row_count, as_text))
        except MisfitError as misfit:
            as_text |= misfit.columns
        else:
            return


def objects_of_run(parquet: RunStore, run: SyncRun, contracts: Sequence[Contract]) -> list[tuple[Contract, ObjectRef]]:
    """The Parquet files that a run still has to load, each with its contract, in the order of the contracts.

    Raises:
        BalanceError: A file is missing.
    """
    if run.status != "converted":
        return []
    files = parquet.files(run.run_number)
    wanted = [(table, contract) for table, contract in by_table(contracts).items() if table in run.row_counts]
    stored = [(contract, files.get(table) or _missing(parquet, run, table)) for table, contract in wanted]
    return [(contract, _ref(parquet, file)) for contract, file in stored]


def check_row_counts(run: SyncRun, loads: Sequence[LoadReceipt]) -> None:
    """Check that the loads of a run read all rows that the source sent.

    Raises:
        BalanceError: A Parquet file has another number of rows.
    """
    for load in loads:
        if load.rows_read != (expected := run.row_counts[load.table.split(".")[1]]):
            raise BalanceError(
                f"{load.source_uri}: expected the {expected:,} rows that the source sent, found {load.rows_read:,}."
                f" Another program wrote the object: run again with give_up={run.run_number}"
            )


def close_run(connection: Connection, parquet: RunStore, run: SyncRun) -> None:
    """Record that the warehouse is built and checked, then move the run's Parquet files to the folder `processed`."""
    if run.status == "unchanged":
        return
    if run.status == "converted":
        run = sync_runs.advance_run(connection, run, "loaded")
    parquet.move_processed(run.run_number, run.row_counts)
    sync_runs.finish_run(connection, run)


def by_table(contracts: Sequence[Contract]) -> dict[str, Contract]:
    """Contracts by the name of the source table, which is also the name of the staging table."""
    return {contract.table.split(".")[1]: contract for contract in contracts}


def _built_tables(connection: Connection, schemas: Sequence[str]) -> dict[str, int]:
    """Ids of the built tables of some schemas, by name."""
    names = [table.name for schema in schemas for table in tables_of(schema) if table.is_built]
    with errors_at("warehouse catalog"):
        return {
            str(name): int(oid)
            for name, oid in connection.execute(
                "SELECT name, c.oid::bigint FROM unnest(%s::text[]) AS wanted (name)"
                " JOIN pg_class c ON c.oid = to_regclass(wanted.name)",
                [names],
            )
        }


def _ref(store: RunStore, stored: StoredObject) -> ObjectRef:
    return ObjectRef(store.lake.uri(stored.key), stored.version, stored.size_bytes, "")


def _missing(store: RunStore, run: SyncRun, table: str) -> NoReturn:
    raise BalanceError(
        f"{store.lake.uri(store.key(run.run_number, table))}: expected the file of {run.row_counts[table]:,} rows in"
        " the ledger, found no file: another program removed it. Restore it, or run again with"
        f" give_up={run.run_number}, to extract all rows"
    )
