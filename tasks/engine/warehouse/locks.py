"""Advisory locks, which allow one writer at a time. A lock ends with its transaction, so it cannot outlive its run."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tasks.engine.errors import PartitionBusyError
from tasks.engine.warehouse.sessions import OWNER_SETTING, Connection, verify_session

LOCK_WAIT = "60s"
"""Maximum wait for another run that writes the same data. After this time the run fails and names the other run."""


def lock(connection: Connection, name: str, *, is_shared: bool = False) -> None:
    """Take the advisory lock of this name until the transaction ends.

    Args:
        connection: A connection in a transaction.
        name: Name of the lock.
        is_shared: Whether to take the lock in shared mode.

    Raises:
        PartitionBusyError: Another session held the lock during all of `LOCK_WAIT`. The message names that session.
        PooledSessionError: A pooler gave the session to another connection.
    """
    _take(connection, name, "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock")


@contextmanager
def locked(connection: Connection, name: str) -> Iterator[None]:
    """Hold the advisory lock of this name during the block, in a transaction that does nothing else.

    Use it for work with transactions on other connections. The waiting transaction has no snapshot, so it does not
    hold back vacuum.

    Raises:
        PartitionBusyError: See `lock`.
        PooledSessionError: See `lock`.
    """
    with connection.transaction():
        lock(connection, name)
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


@contextmanager
def snapshot_transaction(connection: Connection, name: str) -> Iterator[None]:
    """Open a REPEATABLE READ transaction that holds the advisory lock of this name.

    The snapshot is taken after the lock, so it includes everything that earlier holders committed. A statement takes
    its snapshot before it waits for a lock. So the session takes the lock first and then passes it to the transaction.

    Raises:
        PartitionBusyError: See `lock`.
        PooledSessionError: See `lock`.
    """
    _take(connection, name, "pg_advisory_lock")
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for function in ("pg_try_advisory_xact_lock", "pg_advisory_unlock"):
            row = connection.execute(_call(function, name)).fetchone()
            if row != (True,):
                verify_session(connection, None)
        yield


def _call(function: str, name: str) -> sql.Composed:
    """Return the statement that calls a function of advisory locks."""
    return sql.SQL("SELECT {}(hashtextextended({}, 0))").format(sql.Identifier(function), sql.Literal(name))


def _take(connection: Connection, name: str, function: str) -> None:
    try:
        with connection.transaction():
            row = connection.execute(
                "SELECT current_setting(%s, true), set_config('lock_timeout', %s, true)", [OWNER_SETTING, LOCK_WAIT]
            ).fetchone()
            verify_session(connection, row[0] if row else None)
            connection.execute(_call(function, name) + sql.SQL("; SET LOCAL lock_timeout = 0"))
    except psycopg.errors.LockNotAvailable as error:
        holder = connection.execute(
            # Postgres hides most columns of another role's session.
            "SELECT a.pid, a.application_name,"
            " coalesce(to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), 'a time that only its role sees')"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = current_database()"
            " AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(%s, 0)",
            [name],
        ).fetchone()
        who = f"process {holder[0]} ({holder[1]}), connected since {holder[2]}" if holder else "another run"
        raise PartitionBusyError(
            f"{name} is being written by {who}; this run waited {LOCK_WAIT}. Wait for that process, or end it with"
            " pg_terminate_backend"
        ) from error
