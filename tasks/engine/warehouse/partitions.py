"""The partitions of staging tables: which table of Postgres holds one, and how it comes into being."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql

from tasks.contracts import Contract, Partition
from tasks.contracts.keys import partition_name, partition_value
from tasks.engine.errors import errors_at
from tasks.engine.ledger import LoadEntry
from tasks.engine.warehouse.busy_tables import busy_error
from tasks.engine.warehouse.tables import (
    LOCK_WAIT,
    Connection,
    columns_ddl,
    has_table,
    lock,
    shared_columns_ddl,
    table_name,
)


@dataclass(frozen=True)
class Target:
    """Where the rows of a load go.

    Attributes:
        table: The table.
        shared: Columns before those of the contract that have one value in all rows, with these values.
        is_new: Whether the table came into being in the same transaction.
    """

    table: str
    shared: Mapping[str, date | int]
    is_new: bool = False


def partition_table(contract: Contract, value: date | None) -> str:
    """Table that holds one partition: `events_staging.events_2021_04`, of a span of a year `events_2021`."""
    if contract.partition is None or value is None:
        return contract.table
    if contract.partition.span == "year":
        return f"{contract.table}_{value.year:04}"
    return f"{contract.table}_{partition_name(value, contract.partition.unit).replace('-', '_')}"


def target_of(contract: Contract, value: date | None, load_id: int) -> Target:
    """The table of a partition that has one, or of a dataset without partitions."""
    partition = {contract.partition.column: value} if contract.partition and value else {}
    return Target(partition_table(contract, value), {**partition, "load_id": load_id})


def ensure_partition(connection: Connection, contract: Contract, value: date) -> str:
    """Make sure that the partition's table exists, and name it.

    It is created beside its parent and attached, in a transaction of its own: that lock lets readers and the writers of
    other partitions go on. An empty partition that a dying run leaves behind changes no answer.
    """
    name = partition_table(contract, value)
    if contract.partition is None or has_table(connection, name):
        return name
    with errors_at(name), connection.transaction():
        lock(connection, f"partitions of {contract.table}")
        if not has_table(connection, name):
            like = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)")
            connection.execute(like.format(table_name(name), table_name(contract.table)))
            _share_owner(connection, contract.table, name)
            connection.execute(attach_partition(contract, contract.partition, value))
    return name


@contextmanager
def open_partition(connection: Connection, contract: Contract, value: date | None, load_id: int) -> Iterator[Target]:
    """Where the rows of a load go that are written in the block.

    A partition that has no table yet gets one with its first rows. It becomes a partition at the block's end, while
    readers and other writers go on, and gets the columns that the rows share behind them, as values that Postgres keeps
    once: rows without them are made, logged and read faster.

    Args:
        connection: In the transaction of the load, which holds the partition's lock.
        contract: Of the rows.
        value: Of the partition.
        load_id: Of the load.

    Raises:
        WarehouseBusyError: Another session held a lock on the parent that forbids it for all of `LOCK_WAIT`.
    """
    target = target_of(contract, value, load_id)
    if contract.partition is None or value is None or has_table(connection, target.table):
        yield target
        return
    table, ddl, shared = table_name(target.table), shared_columns_ddl(contract), target.shared
    columns = sql.SQL(", ").join(columns_ddl(contract))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
    _share_owner(connection, contract.table, target.table)
    # A server that logs no rows of a new table has them all on disk at the commit: it is to begin with that at once.
    connection.execute(
        "SELECT set_config('backend_flush_after', '1MB', true) WHERE current_setting('wal_level') = 'minimal'"
    )
    yield Target(target.table, {}, is_new=True)
    added = [
        sql.SQL("ADD COLUMN {} DEFAULT {}").format(ddl[key], sql.Literal(of_all)) for key, of_all in shared.items()
    ]
    # What is added holds for the rows that are there, not for those to come.
    dropped = [sql.SQL("ALTER COLUMN {} DROP DEFAULT").format(sql.Identifier(key)) for key in shared]
    try:
        with connection.transaction():  # a savepoint: after an error the connection can ask who holds the lock
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
            for changes in (added, dropped):
                connection.execute(sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(changes)))
            connection.execute(attach_partition(contract, contract.partition, value))
    except psycopg.errors.LockNotAvailable as error:
        what = f"Postgres [55P03] {error.diag.message_primary} ({target.table} becomes a partition of {contract.table})"
        raise busy_error(connection, [contract.table], what, LOCK_WAIT) from error


def attach_partition(contract: Contract, partition: Partition, value: date) -> sql.Composed:
    """The statement that makes the table of a partition a partition of its parent."""
    parent, child = table_name(contract.table), table_name(partition_table(contract, value))
    return sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES {}").format(parent, child, _bounds(partition, value))


def _share_owner(connection: Connection, parent: str, child: str) -> None:
    """Give a new partition to the owner of its parent: the login that runs may be a member of the role that owns it."""
    row = connection.execute(
        "SELECT pg_get_userbyid(p.relowner) FROM pg_class AS p, pg_class AS c"
        " WHERE p.oid = to_regclass(%s) AND c.oid = to_regclass(%s) AND p.relowner <> c.relowner",
        [table_name(parent).as_string(), table_name(child).as_string()],
    ).fetchone()
    if row:
        connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table_name(child), sql.Identifier(row[0])))


def _bounds(partition: Partition, value: date) -> sql.Composed:
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


def holds_load(connection: Connection, contract: Contract, load: LoadEntry) -> bool:
    """Whether the rows of a load are still in its table: it was not dropped or emptied outside of Tally."""
    value = partition_value(load.partition) if contract.partition else None
    if not has_table(connection, partition_table(contract, value)):
        return False
    rows = rows_of_partition(contract, load.partition)
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} AND load_id = %s)").format(rows)
    return not load.rows_loaded or connection.execute(query, [load.load_id]).fetchone() == (True,)
