"""Copy the changed rows of a source to the lake, and move processed files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect.logging import get_run_logger

from tasks.connections import flow_run_id, open_lake, open_source, open_warehouse, value_of
from tasks.contracts import Contract
from tasks.contracts.source import Source
from tasks.engine.lake.setup import STORE_PREFIX, check_lake_setup, marker_of
from tasks.engine.receipts import BuildReceipt, LoadReceipt, ObjectRef, SyncReceipt
from tasks.engine.sync import runs as sync_runs
from tasks.engine.sync import steps as sync
from tasks.engine.sync.run_store import RunStore
from tasks.engine.sync.runs import SyncRun
from tasks.engine.warehouse.tables import Connection
from tasks.policy import step


@contextmanager
def csv_store(source: Source) -> Iterator[RunStore]:
    """Open the store of a source's CSV files."""
    with open_lake(value_of(source.csv_bucket)) as lake:
        yield RunStore(lake, "csv")


@contextmanager
def parquet_store(source: Source) -> Iterator[RunStore]:
    """Open the store of a source's Parquet files."""
    with open_lake(value_of(source.parquet_bucket)) as lake:
        yield RunStore(lake, "parquet")


@contextmanager
def one_at_a_time(pipeline: str) -> Iterator[None]:
    """Hold a pipeline's lock, so that its runs and the deletions flow never overlap.

    Raises:
        PartitionBusyError: Another run holds the lock; the message names that run.
    """
    with open_warehouse() as connection, sync_runs.one_at_a_time(connection, pipeline):
        yield


@step(task_run_name="Check the stores of {source.name}")
def check_stores(source: Source) -> None:
    """Check that both stores are set up, before the run reads or writes anything else.

    Raises:
        LakeSetupError: A store is not set up; the message names the missing part.
    """
    with csv_store(source) as csv, parquet_store(source) as parquet:
        for store in (csv, parquet):
            check_lake_setup(store.lake, STORE_PREFIX, marker_of(store.kind))


@step(task_run_name="List unfinished runs of {source.name}")
def list_unfinished_runs(source: Source, give_up: int = 0) -> list[SyncRun]:
    """List the dead run to complete before a new run; supersede a dead run whose extraction is not complete.

    Args:
        source: The operational database.
        give_up: Number of a dead run to supersede although its extraction is complete; 0 for none.

    Raises:
        ParameterError: `give_up` is not the number of a dead run, or the warehouse has the run's changes.
    """
    with open_warehouse() as connection:
        if give_up:
            sync.give_up_run(connection, source.name, give_up)
            get_run_logger().warning("Run %d of %s is given up: its files remain, unused", give_up, source.name)
        run = _settled(connection, source)
    return [run] if run else []


@step(task_run_name="Extract changes of {source.name}")
def extract_changes(source: Source, schemas: Sequence[str], *, full: bool = False) -> SyncRun:
    """Copy the rows that changed in a source since the last run to the CSV store, all tables as of one moment.

    A snapshot without changes writes only an entry of the ledger.

    Args:
        source: The operational database.
        schemas: Schemas whose tables the rows fill. If one of these tables is new, the run copies all rows.
        full: Copy all rows, including rows that did not change.
    """
    logger = get_run_logger()
    with open_warehouse() as connection:
        if run := _settled(connection, source):  # an earlier try completed the extraction
            return run
        with open_source(source) as snapshot:
            for table, columns in snapshot.unknown_columns.items():
                logger.warning("%s has unknown columns %s; they are not extracted", table, ", ".join(columns))
            run, since, reason = sync.begin_run(
                connection,
                snapshot,
                source.name,
                schemas,
                is_full=full,
                above=_latest_in_lake(source),
                flow_run_id=flow_run_id(),
            )
            logger.info("Run %d extracts %s", run.run_number, reason)
            if run.row_counts:
                with csv_store(source) as csv:
                    run = sync.export_run(connection, snapshot, csv, run, since)
    for table, row_count in sorted(run.row_counts.items()):
        logger.info("Extracted %s: %s rows", table, f"{row_count:,}")
    if run.status == "unchanged":
        logger.info("Nothing changed in the source: skipped")
    return run


def _latest_in_lake(source: Source) -> int:
    """Number of the latest run in the lake, which the ledger may not know: the lake outlives a warehouse."""
    with csv_store(source) as csv:
        return csv.latest_run()


def _settled(connection: Connection, source: Source) -> SyncRun | None:
    """The run to complete, if any; a run that died too early is marked as superseded."""
    logger = get_run_logger()
    if not sync_runs.unfinished_run(connection, source.name):
        return None
    with csv_store(source) as csv:
        settled = sync.settle_run(connection, csv, source.name)
    if settled.superseded:
        logger.warning(
            "Run %d of %s died before its CSV files were complete and is superseded; its files remain, unused: %s",
            settled.superseded,
            source.name,
            ", ".join(settled.left_files) or "nothing",
        )
    if run := settled.run:
        logger.warning(
            "Run %d of %s died in status %s: this run completes it first. If that fails again and again, run with"
            " give_up=%d",
            run.run_number,
            source.name,
            run.status,
            run.run_number,
        )
    return settled.run


@step(task_run_name="Convert run {run.run_number} to Parquet")
def land_parquet(
    source: Source, run: SyncRun, contracts: Sequence[Contract]
) -> tuple[SyncRun, list[tuple[Contract, ObjectRef]]]:
    """Convert a run's remaining CSV files to Parquet.

    Returns:
        The run with its new status, and the Parquet files to load, with their contracts.
    """
    with open_warehouse() as connection, csv_store(source) as csv, parquet_store(source) as parquet:
        run = sync.convert_run(connection, csv, parquet, run, contracts)
        objects = sync.objects_of_run(parquet, run, contracts)
    for _, landed in objects:
        get_run_logger().info("Landed %s, %s bytes", landed.uri, f"{landed.size_bytes:,}")
    return run, objects


@step(task_run_name="Check the row counts of run {run.run_number}")
def check_row_counts(run: SyncRun, loads: Sequence[LoadReceipt]) -> None:
    """Check that the loads of a run read all rows that the source sent.

    Raises:
        BalanceError: A Parquet file has another number of rows.
    """
    sync.check_row_counts(run, loads)


@step(task_run_name="Move the CSV files of run {run.run_number}")
def land_processed_csv(source: Source, run: SyncRun) -> None:
    """Move the CSV files of a converted run to the processed files."""
    with csv_store(source) as csv:
        csv.move_processed(run.run_number, run.row_counts)


@step(task_run_name="Close run {run.run_number}")
def land_processed(
    source: Source,
    run: SyncRun,
    loads: Sequence[LoadReceipt],
    builds: Sequence[BuildReceipt],
    reopened: Sequence[tuple[str, int]],
) -> SyncReceipt:
    """Record in the ledger that a run is in the warehouse, and move its Parquet files to the processed files.

    Args:
        source: The operational database.
        run: A run with the status converted or later.
        loads: Loads of the run's files.
        builds: Checked builds of the derived tables.
        reopened: Numbers of reopened versions, by history.
    """
    newest = str(run.watermark["newest"])
    with open_warehouse() as connection:
        if run.row_counts:
            with parquet_store(source) as parquet:
                sync.close_run(connection, parquet, run)
            get_run_logger().info("Run %d is in the warehouse; its files are moved", run.run_number)
        arrival = sync_runs.find_arrival(connection, source.name, newest)
    return SyncReceipt(
        run.run_number,
        run.is_full,
        newest,
        tuple(sorted(run.row_counts.items())),
        tuple(loads),
        tuple(builds),
        tuple(reopened),
        arrival,
    )
