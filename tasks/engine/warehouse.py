"""The warehouse: connections, advisory locks, and the staging tables that contracts describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tasks.contracts import Contract, Partition
from tasks.contracts.keys import partition_name, partition_value
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


def partition_table(contract: Contract, value: date) -> str:
    """Table that holds one partition: `events_staging.events_2021_04`, of a span of a year `events_2021`."""
    if contract.partition is None:
        return contract.table
    if contract.partition.span == "year":
        return f"{contract.table}_{value.year:04}"
    return f"{contract.table}_{partition_name(value, contract.partition.unit).replace('-', '_')}"


def staging_ddl(contract: Contract) -> sql.Composed:
    """Idempotent DDL of a contract's staging table, with its comments (the data dictionary) and indexes."""
    lines: list[sql.Composable] = []
    indexes = list(contract.indexes)
    if contract.partition:
        lines.append(sql.SQL("{} date NOT NULL").format(sql.Identifier(contract.partition.column)))
    lines.append(sql.SQL("load_id bigint NOT NULL"))
    for column in contract.columns:
        null = sql.SQL("") if column.nullable else sql.SQL(" NOT NULL")
        lines.append(sql.Identifier(column.name) + sql.SQL(f" {column.type.postgres}") + null)
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


def ensure_partition(connection: Connection, contract: Contract, value: date) -> str:
    """Make sure that the partition's table exists, and name it.

    It is created beside its parent and attached, in a transaction of its own: that lock lets readers and the writers of
    other partitions go on. An empty partition that a dying run leaves behind changes no answer.
    """
    if contract.partition is None:
        return contract.table
    name = partition_table(contract, value)
    if has_table(connection, name):
        return name
    child, parent = table_name(name), table_name(contract.table)
    with errors_at(name), connection.transaction():
        lock(connection, f"partitions of {contract.table}")
        if not has_table(connection, name):
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(child, parent))
            connection.execute(
                sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES ").format(parent, child)
                + _values_of(contract.partition, value)
            )
    return name


def _values_of(partition: Partition, value: date) -> sql.Composed:
    if partition.span == "unit":
        return sql.SQL("IN ({})").format(sql.Literal(value))
    return sql.SQL("FROM ({}) TO ({})").format(
        sql.Literal(f"{value.year:04}-01-01"), sql.Literal(f"{value.year + 1:04}-01-01")
    )


def rows_of_partition(contract: Contract, partition: str) -> sql.Composed:
    """The rows of one partition, as `table WHERE condition`; its table may hold others, too."""
    if contract.partition is None:
        return table_name(contract.table) + sql.SQL(" WHERE true")
    value = partition_value(partition)
    return sql.SQL("{} WHERE {} = {}").format(
        table_name(partition_table(contract, value)), sql.Identifier(contract.partition.column), sql.Literal(value)
    )
