"""Runs of a pipeline that copies the changes of a database: their numbers, statuses and watermarks.

The ledger assigns the numbers. The status of a run goes from `extracting` to `exported` (all files are in the CSV
store), `converted` (all files are in the Parquet store) and `loaded` (the warehouse is built and checked). The run is
finished when its files are moved. A run without a change is `unchanged`. A run that died before `exported` is
`superseded`: no later run uses its watermark, and its files remain under its number. Every change of the status names
the old status. So a process that resumes after another process took over cannot change the run any more.
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
    """One run in the ledger.

    Attributes:
        run_number: Number of the run.
        is_full: Whether the run extracts all rows.
        status: Status of the run.
        watermark: Watermark of the run's snapshot of the source.
        row_counts: Number of rows of each changed table.
    """

    run_number: int
    is_full: bool
    status: Status
    watermark: Mapping[str, Any]
    row_counts: Mapping[str, int]


_COLUMNS = sql.SQL("run_number, is_full, status, watermark, row_counts")


@contextmanager
def one_at_a_time(connection: Connection, pipeline: str) -> Iterator[None]:
    """Hold the pipeline's lock, so that its runs and the deletions flow never overlap.

    The end of the block closes the connection.

    Raises:
        PartitionBusyError: Another run holds the lock; the message names that run.
    """
    with ExitStack() as stack:
        with errors_at(f"lock of {pipeline}"):
            stack.enter_context(locked(connection, f"sync {pipeline}"))
        # Closing the connection releases the lock. If the connection is lost by then, the run must not fail.
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
    """Enter a new run into the ledger. A run without rows is finished at once.

    Args:
        connection: To the warehouse.
        pipeline: Pipeline of the run.
        is_full: Whether the run extracts all rows.
        watermark: Watermark of the run's snapshot.
        row_counts: Number of rows of each changed table.
        above: Number of the latest run in the lake; the new number is greater. A ledger that is new, or was restored
            from a backup, does not know the latest runs.
        flow_run_id: Id of the flow run, for the ledger.

    Raises:
        TallyError: Another run is not finished.
    """
    status: Status = "extracting" if row_counts else "unchanged"
    statement = sql.SQL(
        "INSERT INTO ledger.sync_runs"
        " (run_number, pipeline, is_full, status, watermark, row_counts, flow_run_id, finished_at)"
        " OVERRIDING SYSTEM VALUE"
        " SELECT max(nextval(pg_get_serial_sequence('ledger.sync_runs', 'run_number'))),"
        " %s, %s::boolean, %s, %s::jsonb, %s::jsonb, %s::uuid, CASE WHEN %s THEN now() END"
        " FROM (SELECT coalesce(max(run_number), 0) AS known FROM ledger.sync_runs) AS r,"
        " generate_series(least(known, %s), %s) RETURNING {}"
    ).format(_COLUMNS)
    values = [pipeline, is_full, status, Jsonb(watermark), Jsonb(row_counts), flow_run_id, not row_counts, above, above]
    return _one(connection, statement, values) or _overtaken(f"new run of {pipeline}", status)


def unfinished_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The one run that is not finished, because it is active or died; None without such a run."""
    return _last(connection, pipeline, sql.SQL("finished_at IS NULL"))


def last_exported_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The last run with a valid watermark: its files are complete in the lake, or it found no change."""
    return _last(connection, pipeline, sql.SQL("status NOT IN ('extracting', 'superseded')"))


def last_loaded_run(connection: Connection, pipeline: str) -> SyncRun | None:
    """The last run whose changes are in the warehouse."""
    return _last(connection, pipeline, sql.SQL("status IN ('loaded', 'unchanged')"))


def find_arrival(connection: Connection, pipeline: str, newest: str) -> tuple[int, datetime] | None:
    """Find the run that loaded a change into the warehouse, and the end of that run.

    A later run without a newer change has the same newest change in its watermark, so the first such run counts.

    Args:
        connection: To the warehouse.
        pipeline: Pipeline of the run.
        newest: Time of the newest change in the run's snapshot, as the source writes it.

    Returns:
        The run's number and end, or None if no run of this ledger loaded the change.
    """
    with errors_at("ledger.sync_runs"):
        row = connection.execute(
            "SELECT run_number, finished_at FROM ledger.sync_runs WHERE pipeline = %s AND status = 'loaded'"
            " AND finished_at IS NOT NULL AND watermark ->> 'newest' = %s ORDER BY run_number LIMIT 1",
            [pipeline, newest],
        ).fetchone()
    return (int(row[0]), row[1]) if row else None


def advance_run(connection: Connection, run: SyncRun, status: Status) -> SyncRun:
    """Set the next status of a run in the ledger.

    Raises:
        BalanceError: The run has another status than expected: another process took over.
    """
    statement = sql.SQL(
        "UPDATE ledger.sync_runs SET status = %s, finished_at = CASE WHEN %s = 'superseded' THEN now() END"
        " WHERE run_number = %s AND status = %s AND finished_at IS NULL RETURNING {}"
    ).format(_COLUMNS)
    moved = _one(connection, statement, [status, status, run.run_number, run.status])
    return moved or _overtaken(f"run {run.run_number}", run.status)


def confirm_run(connection: Connection, run: SyncRun) -> None:
    """Check that a run still has the expected status, before the store marks it as complete.

    Raises:
        BalanceError: Another process took over.
    """
    statement = sql.SQL("SELECT {} FROM ledger.sync_runs WHERE run_number = %s AND status = %s").format(_COLUMNS)
    if _one(connection, statement, [run.run_number, run.status]) is None:
        _overtaken(f"run {run.run_number}", run.status)


def finish_run(connection: Connection, run: SyncRun) -> None:
    """Mark a loaded run as finished; a finished run does not change."""
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
        f"{what}: expected status {status} in ledger.sync_runs, found another: another process continued the run, which"
        " can happen after this process lost its connection to the warehouse. The next run completes it"
    )
