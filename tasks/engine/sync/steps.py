"""The steps of a sync: a snapshot of a source to the CSV store, from there to the parquet store, and away when loaded.

Each can be taken again from wherever it died: what stands is looked for first, files appear whole or not at all, and
the ledger is told last. The caller holds the pipeline's lock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

from tasks.contracts import Contract
from tasks.engine.errors import BalanceError
from tasks.engine.lake.client import StoredObject
from tasks.engine.receipts import ObjectRef
from tasks.engine.sync import runs as sync_runs
from tasks.engine.sync.run_store import RunStore
from tasks.engine.sync.runs import SyncRun
from tasks.engine.sync.source import Snapshot, Watermark
from tasks.engine.warehouse.tables import Connection


@dataclass(frozen=True)
class Settled:
    """What became of a run that was left unfinished.

    Attributes:
        run: To be completed before another is begun; None where there is none.
        superseded: Number of the run that died before all of it was in the CSV store.
        left_files: Its files, which stay where they are and are not used.
    """

    run: SyncRun | None = None
    superseded: int | None = None
    left_files: tuple[str, ...] = ()


def settle_run(connection: Connection, csv: RunStore, pipeline: str) -> Settled:
    """Look for a run that died, and tell whether it is to be completed or is superseded by the next.

    It is to be completed from the moment that the CSV store's marker names it.
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


def begin_run(
    connection: Connection,
    snapshot: Snapshot,
    pipeline: str,
    *,
    is_full: bool = False,
    above: int = 0,
    flow_run_id: str | None = None,
) -> tuple[SyncRun, Watermark | None, str]:
    """Draw the number of a run that takes what changed since the last one that is whole in the CSV store.

    Args:
        connection: To the warehouse.
        snapshot: Of the source.
        pipeline: Whose run it is.
        is_full: Take everything.
        above: See `tasks.engine.sync.runs.begin_run`.
        flow_run_id: For the ledger.

    Returns:
        The run; the watermark to extract from, None for everything; and why that is so, for the log.
    """
    last = None if is_full else sync_runs.last_exported_run(connection, pipeline)
    since, reason = snapshot.usable(Watermark(**last.watermark) if last else None)
    counts = {table.name: snapshot.count_changed(table, since) for table in snapshot.tables}
    run = sync_runs.begin_run(
        connection,
        pipeline,
        is_full=since is None,
        watermark=asdict(snapshot.watermark),
        row_counts={table: count for table, count in counts.items() if count},
        above=above,
        flow_run_id=flow_run_id,
    )
    return run, since, "everything, as asked for" if is_full else reason


def export_run(
    connection: Connection, snapshot: Snapshot, csv: RunStore, run: SyncRun, since: Watermark | None
) -> SyncRun:
    """Copy the tables of a run that has just begun to the CSV store; a table without changes leaves no file there.

    Args:
        connection: To the warehouse.
        snapshot: The one that the run began with.
        csv: Where they go.
        run: As it began.
        since: The watermark that it began with.
    """
    for table in snapshot.tables:
        if table.name in run.row_counts:
            csv.write(run.run_number, table.name, snapshot.copy_changed(table, since))
    sync_runs.confirm_run(connection, run)
    csv.mark_complete(run.run_number)
    return sync_runs.advance_run(connection, run, "exported")


def convert_run(
    connection: Connection, csv: RunStore, parquet: RunStore, run: SyncRun, contracts: Sequence[Contract]
) -> SyncRun:
    """Bring the parquet store up to an exported run, then move the run's CSV files to where the processed ones are.

    Args:
        connection: To the warehouse.
        csv: Where the run's files are.
        parquet: Where they go.
        run: Of any status from `exported` on.
        contracts: Of the source's tables.
    """
    if run.status == "unchanged":
        return run
    if run.status == "exported":
        known = by_table(contracts)
        parquet.abort_uploads(run.run_number)
        current, files = parquet.files(run.run_number), csv.files(run.run_number)
        for table, row_count in run.row_counts.items():
            if table not in current:
                source = _ref(csv, files.get(table) or _missing(csv, run, table))
                _convert(csv, parquet, run, table, source, known[table], row_count)
        sync_runs.confirm_run(connection, run)
        parquet.mark_complete(run.run_number)
        run = sync_runs.advance_run(connection, run, "converted")
    csv.move_processed(run.run_number, run.row_counts)
    return run


def _convert(
    csv: RunStore, parquet: RunStore, run: SyncRun, table: str, source: ObjectRef, contract: Contract, row_count: int
) -> None:
    from tasks.engine.sync.parquet_writer import MisfitError, ParquetBlocks  # noqa: PLC0415 - polars is slow to import

    as_text: frozenset[str] = frozenset()
    while True:
        try:
            parquet.write(run.run_number, table, ParquetBlocks(csv.lake, source, contract, row_count, as_text))
        except MisfitError as misfit:
            as_text |= misfit.columns
        else:
            return


def objects_of_run(parquet: RunStore, run: SyncRun, contracts: Sequence[Contract]) -> list[tuple[Contract, ObjectRef]]:
    """The parquet files that a run still has to load, each with its contract, in the order of the contracts.

    Raises:
        BalanceError: One is not there.
    """
    if run.status != "converted":
        return []
    files = parquet.files(run.run_number)
    wanted = [(table, contract) for table, contract in by_table(contracts).items() if table in run.row_counts]
    stored = [(contract, files.get(table) or _missing(parquet, run, table)) for table, contract in wanted]
    return [(contract, _ref(parquet, file)) for contract, file in stored]


def close_run(connection: Connection, parquet: RunStore, run: SyncRun) -> None:
    """Enter that a run is in the warehouse, built and checked, then move its parquet files to the processed ones."""
    if run.status == "unchanged":
        return
    if run.status == "converted":
        run = sync_runs.advance_run(connection, run, "loaded")
    parquet.move_processed(run.run_number, run.row_counts)
    sync_runs.finish_run(connection, run)


def by_table(contracts: Sequence[Contract]) -> dict[str, Contract]:
    """Contracts by the name of the source's table, which is that of the staging table."""
    return {contract.table.split(".")[1]: contract for contract in contracts}


def _ref(store: RunStore, stored: StoredObject) -> ObjectRef:
    return ObjectRef(store.lake.uri(stored.key), stored.version, stored.size_bytes, "")


def _missing(store: RunStore, run: SyncRun, table: str) -> NoReturn:
    raise BalanceError(
        f"{store.lake.uri(store.key(run.run_number, table))}: expected the file of {run.row_counts[table]:,} rows that"
        " the ledger knows, found none: somebody else removed it. Restore it, or have the run superseded: set its"
        " status so in ledger.sync_runs, and extract everything anew (full)"
    )
