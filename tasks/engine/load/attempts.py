"""Attempts: records every attempt to load an object in `ledger.load_attempts`, even if its process dies."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from tasks.engine.errors import errors_at
from tasks.engine.load.error_budget import ErrorBudget
from tasks.engine.quoting import MESSAGE_LIMIT, printable, shown
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.tables import Connection

Reconnect = Callable[[], AbstractContextManager[Connection]]
"""Opens another connection to the warehouse."""

REASON_LIMIT = 300
EXAMPLES, REASONS = 30, 50


@dataclass
class Attempt:
    """One attempt to load an object.

    Attributes:
        attempt_id: The entry in the ledger.
        budget: Counts the rows that were read so far.
    """

    attempt_id: int
    budget: ErrorBudget

    def succeed(
        self, connection: Connection, load_id: int, *, is_unchanged: bool = False, warnings: tuple[str, ...] = ()
    ) -> None:
        """Record the success of the attempt, in the transaction of its load.

        Args:
            connection: A connection in that transaction.
            load_id: The current load of the object.
            is_unchanged: Whether another run had already loaded this version.
            warnings: What is unusual about the object.
        """
        rows = 0 if is_unchanged else self.budget.rows_good
        self._end(connection, "unchanged" if is_unchanged else "loaded", rows, load_id)
        if warnings:
            connection.execute(
                "UPDATE ledger.load_attempts SET warnings = %s WHERE attempt_id = %s",
                [[printable(text, MESSAGE_LIMIT) for text in warnings], self.attempt_id],
            )

    def fail(self, connection: Connection, error: BaseException) -> None:
        """Record the failure of the attempt, after the rollback of the load.

        Args:
            connection: A connection outside a transaction.
            error: The error of the load.
        """
        self._end(connection, "failed", 0, None, type(error).__name__, printable(str(error), MESSAGE_LIMIT))

    def _end(
        self,
        connection: Connection,
        status: str,
        rows_loaded: int,
        load_id: int | None,
        error_class: str | None = None,
        error_message: str | None = None,
    ) -> None:
        """Record the end of this attempt, and of earlier attempts for the object whose sessions no longer exist."""
        budget = self.budget
        connection.execute(
            "UPDATE ledger.load_attempts AS a SET status = 'died', ended_at = clock_timestamp(), error_message ="
            " 'The process ended before it could record how. A later attempt for this object found it gone.'"
            " WHERE source_uri = %s AND dataset = %s AND status = 'started' AND attempt_id < %s"
            " AND (backend_pid = pg_backend_pid()"
            " OR NOT EXISTS (SELECT FROM pg_stat_activity AS s WHERE s.pid = a.backend_pid))",
            [budget.source.uri, budget.contract.dataset, self.attempt_id],
        )
        examples = [
            {
                "line_number": row.line_number,
                "column_name": row.column_name,
                "reason_code": row.why.code.value,
                "reason": shown(row.reason, REASON_LIMIT),
                "text": shown(row.raw),
                "raw": row.raw.hex(),
            }
            for rows in budget.examples.values()
            for row in rows
        ]
        connection.execute(
            "UPDATE ledger.load_attempts SET status = %s, load_id = %s, rows_read = %s, rows_loaded = %s,"
            " rows_rejected = %s, reasons = %s, examples = %s, error_class = %s, error_message = %s,"
            " ended_at = clock_timestamp() WHERE attempt_id = %s",
            [
                status,
                load_id,
                budget.rows_read,
                rows_loaded,
                budget.rows_rejected,
                Jsonb({shown(reason, REASON_LIMIT): count for reason, count in budget.reasons.most_common(REASONS)}),
                Jsonb(examples[:EXAMPLES]),
                error_class,
                error_message,
                self.attempt_id,
            ],
        )


@contextmanager
def recorded(
    connection: Connection, source: ObjectRef, budget: ErrorBudget, flow_run_id: str | None, reconnect: Reconnect | None
) -> Iterator[Attempt]:
    """Record the block as an attempt. The block must call `succeed`; a failure is recorded automatically.

    If Postgres is unreachable, the failure is not recorded, and the error of the load is still raised.

    Args:
        connection: The connection of the load, outside a transaction.
        source: The object.
        budget: Counts the rows of the load.
        flow_run_id: For the ledger.
        reconnect: Opens another connection after the load lost its own. With None such an attempt stays open.
    """
    with errors_at("ledger.load_attempts"):
        attempt = Attempt(_start(connection, budget.contract.dataset, source, flow_run_id), budget)
    try:
        yield attempt
    except BaseException as error:
        with suppress(Exception), _usable(connection, reconnect) as usable:
            attempt.fail(usable, error)
        raise


def _usable(connection: Connection, reconnect: Reconnect | None) -> AbstractContextManager[Connection]:
    is_idle = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
    return nullcontext(connection) if is_idle or reconnect is None else reconnect()


def _start(connection: Connection, dataset: str, source: ObjectRef, flow_run_id: str | None) -> int:
    row = connection.execute(
        "INSERT INTO ledger.load_attempts (dataset, partition, source_uri, source_version, size_bytes, flow_run_id)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING attempt_id",
        [dataset, source.partition, source.uri, source.version, source.size_bytes, flow_run_id],
    ).fetchone()
    return int(row[0]) if row else 0
