"""Partitions whose rows are gone from the staging table, although the ledger says that they are loaded."""

from collections.abc import Iterable

from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.keys import partition_value
from tasks.engine.backfill.finished_partitions import PartitionEntry
from tasks.engine.warehouse.tables import Connection, has_table, table_name


def lost_partitions(connection: Connection, contract: Contract, entries: Iterable[PartitionEntry]) -> set[str]:
    """Names of the loaded partitions that hold no row any more.

    Somebody dropped, detached or emptied the table of the partition outside of Tally. The query asks the parent for one
    row of each partition, and counts nothing.

    Args:
        connection: To the warehouse.
        contract: Of the staging table.
        entries: What the ledger says of the dataset's partitions. An entry without a loaded row is never lost.
    """
    names = [entry.partition for entry in entries if entry.has_rows]
    if not names or not has_table(connection, contract.table):
        return set(names)
    table = table_name(contract.table)
    if contract.partition is None:
        is_empty = sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(table)
        return set(names) if connection.execute(is_empty).fetchone() == (True,) else set()
    # A scalar subquery: Postgres looks into the one partition of each value, and never scans the whole table.
    query = sql.SQL(
        "SELECT v.name FROM unnest(%s::text[], %s::date[]) AS v (name, value)"
        " WHERE (SELECT true FROM {} AS t WHERE t.{} = v.value LIMIT 1) IS NULL"
    ).format(table, sql.Identifier(contract.partition.column))
    return {str(name) for (name,) in connection.execute(query, [names, [partition_value(name) for name in names]])}
