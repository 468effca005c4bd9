"""The warehouse: connections, advisory locks, and the staging tables that contracts describe."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tasks.contracts import Contract
from tasks.engine.errors import PartitionBusyError, errors_at
from tasks.engine.settings import DatabaseSettings

Connection = psycopg.Connection[TupleRow]

LOCK_WAIT = "60s"
"""How long a run waits for another one that writes the same thing, before it says who that is."""

CONNECT_TIMEOUT = 10
"""Seconds in which Postgres must take a connection."""

UNSENT_TIMEOUT = 120_000
"""Milliseconds that bytes for Postgres may wait for it, before the connection counts as lost."""

# The locks of a run that was killed, or whose host is gone, are free within a minute, whatever its query was doing.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "idle_in_transaction_session_timeout": "15min",
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


@contextmanager
def connect(settings: DatabaseSettings, application_name: str, server: str = "warehouse") -> Iterator[Connection]:
    """A connection in autocommit mode; transactions are opened where they are meant.

    Args:
        settings: Where Postgres is.
        application_name: What `pg_stat_activity` shows, such as `events 2021-04`.
        server: What errors call it.

    Raises:
        WarehouseUnavailableError: Postgres does not answer.
        WarehouseError: The login or the database is wrong.
    """
    with errors_at(f"{server} connection"):
        connection = psycopg.connect(
            settings.dsn.get_secret_value(),
            autocommit=True,
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=UNSENT_TIMEOUT,
        )
    with connection:
        # After the connection, not as startup options: poolers refuse those, and a DSN may bring its own.
        settings_of_session = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
            for name, value in _SESSION.items()
        )
        with errors_at(f"{server} session"):
            connection.execute(sql.SQL("SELECT {}").format(settings_of_session))
        yield connection


def lock(connection: Connection, name: str) -> None:
    """Take the advisory lock of this name until the transaction ends: one writer at a time.

    Raises:
        PartitionBusyError: Another session has held it for all of `LOCK_WAIT`; the message says which.
    """
    _lock(connection, name, "pg_advisory_xact_lock")


@contextmanager
def session_lock(connection: Connection, name: str) -> Iterator[None]:
    """Hold the advisory lock of this name for the block, for work that begins before its transaction.

    Raises:
        PartitionBusyError: As `lock`.
    """
    _lock(connection, name, "pg_advisory_lock")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def _lock(connection: Connection, name: str, function: str) -> None:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
            connection.execute(
                sql.SQL("SELECT {}(hashtextextended({}, 0))").format(sql.Identifier(function), sql.Literal(name))
            )
            connection.execute("SET LOCAL lock_timeout = 0")
    except psycopg.errors.LockNotAvailable as error:
        holder = connection.execute(
            # Of another role's session Postgres shows no more than the process and its name.
            "SELECT a.pid, a.application_name,"
            " coalesce(to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), 'a time that only its role sees')"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = current_database()"
            " AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(%s, 0)",
            [name],
        ).fetchone()
        who = f"process {holder[0]} ({holder[1]}) since {holder[2]}" if holder else "another run"
        raise PartitionBusyError(
            f"{name} is being written by {who}; waited {LOCK_WAIT}. Wait for it, or end it with pg_terminate_backend"
        ) from error


def table_name(table: str) -> sql.Identifier:
    """`schema.table` as a quoted identifier."""
    return sql.Identifier(*table.split("."))


def has_schema(connection: Connection, schema: str) -> bool:
    """Whether a schema stands."""
    row = connection.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [schema]).fetchone()
    return row == (True,)


def count_rows(connection: Connection, table: str) -> int:
    """How many rows a table has."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table_name(table))).fetchone()
    return int(row[0]) if row else 0


def has_table(connection: Connection, table: str) -> bool:
    """Whether a table stands, `schema.table`, or a view or a foreign table under that name.

    By a query: `to_regclass` answers from a cache that another session's commit does not reach within a transaction,
    such as one that has just waited for a lock.
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)"
        " AND relname = %s)",
        table.split("."),
    ).fetchone()
    return row == (True,)


def shared_column_types(contract: Contract) -> dict[str, str]:
    """Name and type of the columns that have one value in all rows of a load; they precede those of the contract."""
    partition = {contract.partition.column: "date"} if contract.partition else {}
    return partition | {"load_id": "bigint"}


def shared_columns_ddl(contract: Contract) -> dict[str, sql.Composed]:
    """Definitions of the columns that have one value in all rows of a load."""
    return {name: _column(name, type_) for name, type_ in shared_column_types(contract).items()}


def columns_ddl(contract: Contract) -> list[sql.Composed]:
    """The columns that a contract describes."""
    return [_column(column.name, column.type.postgres, is_nullable=column.nullable) for column in contract.columns]


def _column(name: str, type_: str, *, is_nullable: bool = False) -> sql.Composed:
    return sql.Identifier(name) + sql.SQL(f" {type_}" if is_nullable else f" {type_} NOT NULL")


def staging_ddl(contract: Contract) -> sql.Composed:
    """Idempotent DDL of a contract's staging table, with its comments (the data dictionary) and indexes."""
    indexes = list(contract.indexes)
    lines = [*shared_columns_ddl(contract).values(), *columns_ddl(contract)]
    table = table_name(contract.table)
    ddl = [
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(contract.schema)),
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table, sql.SQL(", ").join(lines)),
        sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(contract.description)),
    ]
    if contract.partition:
        is_listed = contract.partition.span == "unit"
        ddl[1] += sql.SQL(f" PARTITION BY {'LIST' if is_listed else 'RANGE'} ({{}})").format(
            sql.Identifier(contract.partition.column)
        )
        if not is_listed:
            indexes.append((contract.partition.column,))
    ddl += [
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
            sql.Identifier("_".join((contract.table.split(".")[1], *columns, "ix"))),
            table,
            sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        for columns in indexes
    ]
    ddl += [
        sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, sql.Identifier(c.name), sql.Literal(c.description))
        for c in contract.columns
    ]
    return sql.SQL(";\n").join(ddl)
