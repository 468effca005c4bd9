"""Partitions of staging tables: their names in Postgres and their creation."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql

from tasks.contracts import LOAD_ID, Contract, Partition
from tasks.contracts.keys import partition_name, partition_value
from tasks.engine.errors import SchemaDriftError, errors_at
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

_PROOF = sql.Identifier("tally_rows_of_partition")
"""The constraint of a new table that proves that its rows belong to the partition."""


@dataclass(frozen=True)
class Target:
    """The target table of a load.

    Attributes:
        table: The table.
        shared: Columns that precede the contract's columns and have the same value in all rows, with these values.
        is_new: Whether the current transaction created the table.
    """

    table: str
    shared: Mapping[str, date | int]
    is_new: bool = False


def partition_table(contract: Contract, value: date | None) -> str:
    """Return the table of a partition: `events_staging.events_2021_04`, or `events_2021` if a table holds a year."""
    if contract.partition is None or value is None:
        return contract.table
    if contract.partition.span == "year":
        return f"{contract.table}_{value.year:04}"
    return f"{contract.table}_{partition_name(value, contract.partition.unit).replace('-', '_')}"


def target_of(contract: Contract, value: date | None, load_id: int) -> Target:
    """Return the target for the existing table of a partition or of a dataset without partitions."""
    partition = {contract.partition.column: value} if contract.partition and value else {}
    return Target(partition_table(contract, value), {**partition, "load_id": load_id})


def ensure_partition(connection: Connection, contract: Contract, value: date) -> str:
    """Create the partition's table if it does not exist, and return its name.

    A separate transaction creates the table and attaches it to its parent. The lock for this does not block readers or
    writers of other partitions. If the run dies later, the empty partition remains, which does not affect any query.
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
    """Provide the target table for the rows that the block writes.

    If the partition has no table, a new table is created. At the end of the block the table is attached to its parent;
    readers and other writers can continue. The id of the load is added only then, as a default that Postgres stores
    once per table. The partition's column has a default and a constraint during the block: Postgres fills and checks
    each row while it arrives, and need not read all rows again to attach the table.

    Args:
        connection: A connection in the transaction of the load, which holds the partition's lock.
        contract: The contract of the rows.
        value: The first day of the partition.
        load_id: The id of the load.

    Raises:
        WarehouseBusyError: Another session held a conflicting lock on the parent during all of `LOCK_WAIT`.
    """
    target = target_of(contract, value, load_id)
    if contract.partition is None or value is None or has_table(connection, target.table):
        yield target
        return
    table, column = table_name(target.table), contract.partition.column
    columns = columns_ddl(contract)
    # The columns of one width follow the texts, which saves the gap that aligns a bigint.
    columns.insert(len(contract.columns), _same_in_all(contract, column, value))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
    _share_owner(connection, contract.table, target.table)
    # With wal_level = minimal the server writes all rows of a new table to disk at the commit. Flush them earlier.
    connection.execute(
        "SELECT set_config('backend_flush_after', '1MB', true) WHERE current_setting('wal_level') = 'minimal'"
    )
    yield Target(target.table, {}, is_new=True)
    load = shared_columns_ddl(contract)[LOAD_ID]
    changes = [
        sql.SQL("ALTER TABLE {} ADD COLUMN {} DEFAULT {}").format(table, load, sql.Literal(load_id)),
        attach_partition(contract, contract.partition, value),
        # The defaults and the proof are for the existing rows only.
        sql.SQL("ALTER TABLE {} ALTER {} DROP DEFAULT, ALTER {} DROP DEFAULT, DROP CONSTRAINT {}").format(
            table, sql.Identifier(column), sql.Identifier(LOAD_ID), _PROOF
        ),
    ]
    try:
        with connection.transaction():  # a savepoint: after an error the connection can query the lock's holder
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
            for change in changes:
                connection.execute(change)
    except psycopg.errors.LockNotAvailable as error:
        what = f"Postgres [55P03] {error.diag.message_primary} ({target.table} becomes a partition of {contract.table})"
        raise busy_error(connection, [contract.table], what, LOCK_WAIT) from error
    except psycopg.errors.InvalidObjectDefinition as error:
        raise SchemaDriftError(
            f"{contract.table}: expected no table with rows of {value}, found one that is not {target.table} (Postgres"
            f" [42P17] {error.diag.message_primary}). Probably the unit of the partitions in the contract changed after"
            f" rows were loaded. Set it back, or run reset for dataset {contract.dataset} and load it again"
        ) from error


def _same_in_all(contract: Contract, column: str, value: date) -> sql.Composed:
    """Return the definition of the partition's column with this value in all rows, as ATTACH PARTITION accepts it."""
    return sql.SQL("{ddl} DEFAULT {value} CONSTRAINT {} CHECK ({column} = {value})").format(
        _PROOF, ddl=shared_columns_ddl(contract)[column], value=sql.Literal(value), column=sql.Identifier(column)
    )


def attach_partition(contract: Contract, partition: Partition, value: date) -> sql.Composed:
    """Return the statement that attaches a partition's table to its parent."""
    parent, child = table_name(contract.table), table_name(partition_table(contract, value))
    return sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES {}").format(parent, child, _bounds(partition, value))


def _share_owner(connection: Connection, parent: str, child: str) -> None:
    """Set the owner of a new partition to its parent's owner, which may be a role of which the login is a member."""
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
    """Return `table WHERE condition` for the rows of one partition. The table may contain other partitions, too."""
    if contract.partition is None:
        return table_name(contract.table) + sql.SQL(" WHERE true")
    value = partition_value(partition)
    return sql.SQL("{} WHERE {} = {}").format(
        table_name(partition_table(contract, value)), sql.Identifier(contract.partition.column), sql.Literal(value)
    )


def rows_of_value(contract: Contract, partition: str) -> sql.Composed:
    """Return `table WHERE condition` for the rows of a partition in the whole staging table.

    The partition may have another unit than the contract, or none.
    """
    if contract.partition is None or not partition:
        return table_name(contract.table) + sql.SQL(" WHERE true")
    return sql.SQL("{} WHERE {} = {}").format(
        table_name(contract.table), sql.Identifier(contract.partition.column), sql.Literal(partition_value(partition))
    )


def holds_load(connection: Connection, contract: Contract, partition: str, load_id: int) -> bool:
    """Return whether a partition of a staging table contains rows of a load.

    Args:
        connection: To the warehouse.
        contract: Of the staging table.
        partition: Name of the partition; empty for a table without partitions.
        load_id: Id of the load.
    """
    value = partition_value(partition) if contract.partition else None
    if not has_table(connection, partition_table(contract, value)):
        return False
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} AND load_id = %s)").format(rows_of_partition(contract, partition))
    return connection.execute(query, [load_id]).fetchone() == (True,)


def loads_with_rows(connection: Connection, contract: Contract, partition: str) -> frozenset[int] | None:
    """Return the ids of the loads with rows in a partition.

    A table without partitions may be large, so the function only asks whether the table has a row. None: it has a row.
    """
    value = partition_value(partition) if contract.partition else None
    if not has_table(connection, partition_table(contract, value)):
        return frozenset()
    rows = rows_of_partition(contract, partition)
    if contract.partition is None:
        has_rows = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(rows)).fetchone() == (True,)
        return None if has_rows else frozenset()
    found = connection.execute(sql.SQL("SELECT DISTINCT load_id FROM {}").format(rows))
    return frozenset(int(load_id) for (load_id,) in found)
