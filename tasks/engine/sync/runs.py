"""Runs of a pipeline that copies what changed in a database: their numbers, how far each came, and their watermarks.

The ledger draws the numbers. A run goes from `extracting` over `exported` (its files are complete in the CSV store) and
`converted` (in the parquet store, too) to `loaded` (in the warehouse, built and checked); it is finished when its files
were moved. A run without a change is `unchanged`. One that died before it was exported is `superseded`: its watermark
is never used, its files stay under its number. Every step says from where to where it goes: a process that comes back
after another one took over goes no further.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from tasks.engine.errors import BalanceError, errors_at
from tasks.engine.warehouse.locks import locked
from tasks.engine.warehouse.sessions import Connection

Status = Literal["extracting", "exported", "converted", "loaded", "unchanged", "superseded"]


@dataclass(frozen=True)
class SyncRun:
    """One run, as the ledger has it.

    Attributes:
        watermark: Where its snapshot of the source stood.
        row_counts: Rows by table, of the tables that changed.
    """

    run_number: int
    is_full: bool
    status: Status
    watermark: Mapping[str, Any]
    row_counts: Mapping[str, int]


_COLUMNS = sql.SQL("run_number, is_full, status, watermark, row_counts")


@contextmanager
def one_at_a_time(connection: Connection, pipeline: str) -> Iterator[None]:
    """Hold the pipeline's lock: its runs, and what else compares source and warehouse, never overlap.

    The connection is closed with the block.

    Raises:
        PartitionBusyError: Another run holds it; the message says which.
    """
    with ExitStack() as stack:
        with errors_at(f"lock of {pipeline}"):
            stack.enter_context(locked(connection, f"sync {pipeline}"))
        # The lock goes with its connection, which may be lost by the end: that fails nobody's work.
        stack.callback(connection.close)
        yield


def begin_run(
    connection: Connection,
    pipeline: str,
    *,
    is_full: bool,
    watermark: Mapping[str, Any],
    row_counts: Mapping[str, int],
    above: int,
    flow_run_id: str | None,
) -> SyncRun:
    """Draw the number of a run; one without rows is finished with that.

    Args:
        connection: To the warehouse.
        pipeline: Whose run it is.
        is_full: Whether it takes everything.
        watermark: Where its snapshot stands.
        row_counts: Rows by table, of the tables that changed.
        above: A number that a new ledger passes over, with all before: those that a lake holds from an earlier one.
        flow_run_id: For the ledger.

    Raises:
        TallyError: Another run is not finished yet.
    """
    status: Status = "extracting" if row_counts else "unchanged"
    statement = sql.SQL(
        "INSERT INTO ledger.sync_runs"
        " (run_number, pipeline, is_full, status, watermark, row_counts, flow_run_id, finished_at)"
        " OVERRIDING SYSTEM VALUE"
        " SELECT max(nextval(pg_get_serial_sequence('ledger.sync_runs', 'run_number'))),"
        " %s, %s::boolean, %s, %s::jsonb, %s::jsonb, %s::uuid, CASE WHEN %s THEN now() END"
        " FROM generate_series(0, %s) RETURNING {}"
    ).format(_COLUMNS)
    values = [pipeline, is_full, status, Jsonb(watermark), Jsonb(row_counts), flow_run_id, not row_counts, above]
    return _one(connection, statement, values) or _overtaken(f"run of {pipeline}", "to be drawn")


def unfinished_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The run that is under way, or died there; there is at most one."""
    return _last(connection, pipeline, sql.SQL("finished_at IS NULL"))


def last_exported_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The run whose watermark counts: the last one that is complete in the lake, or that found no change."""
    return _last(connection, pipeline, sql.SQL("status NOT IN ('extracting', 'superseded')"))


def last_loaded_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The run up to which the warehouse shows the source."""
    return _last(connection, pipeline, sql.SQL("status IN ('loaded', 'unchanged')"))


def find_arrival(connection: Connection, pipeline: str, newest: str) -> tuple[int, datetime] | None:
    """Find the run that brought a change to the warehouse, and when that run ended.

    A later run that finds no newer change has the same newest change in its watermark: the first such run counts.

    Args:
        connection: To the warehouse.
        pipeline: Whose run.
        newest: The newest change in the run's snapshot, as the source writes its time.

    Returns:
        The run's number and its end, or None where no run of this ledger brought it.
    """
    with errors_at("ledger.sync_runs"):
        row = connection.execute(
            "SELECT run_number, finished_at FROM ledger.sync_runs WHERE pipeline = %s AND status = 'loaded'"
            " AND finished_at IS NOT NULL AND watermark ->> 'newest' = %s ORDER BY run_number LIMIT 1",
            [pipeline, newest],
        ).fetchone()
    return (int(row[0]), row[1]) if row else None


def advance_run(connection: Connection, run: SyncRun, status: Status) -> SyncRun:
    """Enter that a run came to its next step.

    Raises:
        BalanceError: It does not stand where this process left it: another one took over.
    """
    statement = sql.SQL(
        "UPDATE ledger.sync_runs SET status = %s, finished_at = CASE WHEN %s = 'superseded' THEN now() END"
        " WHERE run_number = %s AND status = %s AND finished_at IS NULL RETURNING {}"
    ).format(_COLUMNS)
    moved = _one(connection, statement, [status, status, run.run_number, run.status])
    return moved or _overtaken(f"run {run.run_number}", run.status)


def confirm_run(connection: Connection, run: SyncRun) -> None:
    """See that a run stands where this process left it, before others are told of it.

    Raises:
        BalanceError: Another process took over.
    """
    statement = sql.SQL("SELECT {} FROM ledger.sync_runs WHERE run_number = %s AND status = %s").format(_COLUMNS)
    if _one(connection, statement, [run.run_number, run.status]) is None:
        _overtaken(f"run {run.run_number}", run.status)


def finish_run(connection: Connection, run: SyncRun) -> None:
    """Enter that nothing of a loaded run is left to do; a run that is finished stays as it is."""
    connection.execute(
        "UPDATE ledger.sync_runs SET finished_at = now()"
        " WHERE run_number = %s AND status = 'loaded' AND finished_at IS NULL",
        [run.run_number],
    )


def _last(connection: Connection, pipeline: str, condition: sql.SQL) -> SyncRun | None:
    statement = sql.SQL(
        "SELECT {} FROM ledger.sync_runs WHERE pipeline = %s AND {} ORDER BY run_number DESC LIMIT 1"
    ).format(_COLUMNS, condition)
    return _one(connection, statement, [pipeline])


def _one(connection: Connection, statement: sql.Composed, values: Sequence[Any]) -> SyncRun | None:
    with errors_at("ledger.sync_runs"):
        row = connection.execute(statement, values).fetchone()
    return SyncRun(*row) if row else None


def _overtaken(what: str, status: str) -> SyncRun:
    raise BalanceError(
        f"{what}: expected it {status} in ledger.sync_runs, found it elsewhere: another process went on with it, as it"
        " may after this one's connection to the warehouse was lost. The next run completes it"
    )
