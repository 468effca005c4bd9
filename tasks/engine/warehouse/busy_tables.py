"""DDL on a busy server: a short wait for each lock, several attempts, and a message that names who holds the lock."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg

from tasks.engine.errors import WarehouseBusyError, WarehouseUnavailableError
from tasks.engine.warehouse.tables import Connection

DDL_LOCK_WAIT = "3s"
"""Maximum wait of a DDL statement for a lock. During this time other sessions must wait for the statement."""

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the attempts, during which the other sessions can continue."""

T = TypeVar("T")


def retried_while_busy(connection: Connection, tables: Sequence[str], change: Callable[[], T]) -> T:
    """Apply a change in its own transaction. If another session holds a lock, retry the change after a pause.

    Args:
        connection: To the warehouse, outside a transaction.
        tables: The tables that the change may lock.
        change: Opens the transaction and applies the change.

    Raises:
        WarehouseBusyError: Another session held a lock during every attempt. The message names that session.
    """
    for pause in (*PAUSES, None):
        try:
            return change()
        except WarehouseUnavailableError as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            if pause is None:
                raise busy_error(connection, tables, str(error)) from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def busy_error(
    connection: Connection, tables: Sequence[str], what: str, wait: str = DDL_LOCK_WAIT
) -> WarehouseBusyError:
    """Return the error for a lock that was not granted in time. The connection must be usable for a query."""
    holders = lock_holders(connection, tables)
    return WarehouseBusyError(
        f"{what}. Expected the lock within {wait}, but found it held by"
        f" {'; '.join(holders) or 'a session that ended meanwhile'}. Nothing was changed. Wait until that session"
        " ends its transaction, or end it with pg_terminate_backend, and run again"
    )


def lock_holders(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Describe the other sessions with a lock on some tables or their partitions, oldest transaction first."""
    rows = connection.execute(
        "WITH RECURSIVE locked (oid) AS ("
        " SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE (n.nspname || '.' || c.relname) = ANY(%s)"
        " UNION SELECT i.inhrelid FROM locked JOIN pg_inherits i ON i.inhparent = locked.oid"
        ") SELECT a.pid, a.application_name, a.usename,"
        " coalesce(to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), 'a time that only its role sees'),"
        " coalesce(a.state, 'state unknown'), string_agg(DISTINCT l.relation::regclass::text, ', ')"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.granted AND l.pid <> pg_backend_pid() AND l.relation IN (SELECT oid FROM locked)"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " GROUP BY 1, 2, 3, 4, 5, a.xact_start ORDER BY a.xact_start NULLS LAST",
        [list(tables)],
    )
    return [
        f"process {pid} ({name or 'no application name'}, role {role}) since {since}, {state}, on {relations}"
        for pid, name, role, since, state, relations in rows
    ]
