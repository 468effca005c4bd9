"""Results of queries: select the rows of a query into a temporary table, for the statements that write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from tasks.engine.build.composition import names, temporary_name
from tasks.engine.build.parallel_results import select_in_parallel
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.statistics import SAMPLE
from tasks.engine.warehouse.tables import Connection, table_name

Parameters = Mapping[str, Any]


def select_result(
    connection: Connection,
    table: SqlTable,
    kind: str,
    query: sql.Composable,
    columns: Sequence[str],
    parameters: Parameters,
) -> sql.Identifier:
    """Select the rows of a query into a temporary table with columns of a table, and analyse its keys.

    Later statements join the keys only. The other columns, such as jsonb, would take a fifth of a build's CPU. A small
    sample shows which join is fast, at a tenth of the CPU of Postgres's default.
    """
    name = temporary_name(table, kind)
    if not select_in_parallel(connection, table, name, query, columns, parameters):
        create_temporary_table(connection, table, kind, columns)
        insert = sql.SQL("INSERT INTO {} ({})\n{}").format(name, names(columns), query)
        connection.execute(insert, parameters)
    is_merge = table.disposition.kind == "merge"
    joined = {*table.key, *table.disposition.columns} if is_merge else set(table.key)
    keys = [column for column in columns if column in joined] or columns
    # Statements without parameters travel together: a small build is mostly round trips.
    connection.execute(
        sql.SQL(
            "SET LOCAL default_statistics_target = {}; ANALYZE {} ({}); SET LOCAL default_statistics_target TO DEFAULT"
        ).format(sql.Literal(SAMPLE), name, names(keys))
    )
    return name


def prepare_insert(
    connection: Connection, table: SqlTable, columns: Sequence[str], parameters: Parameters
) -> sql.Composed:
    """Return the statement that inserts the query's rows into the table.

    If Postgres plans parallel workers for the query, the call selects the rows into a temporary table first, and the
    returned statement reads that temporary table.
    """
    result = temporary_name(table, "result")
    rows: sql.Composable = table.query
    if select_in_parallel(connection, table, result, rows, columns, parameters):
        rows = sql.SQL("SELECT {} FROM {}").format(names(columns), result)
    return sql.SQL("INSERT INTO {} ({})\n{}").format(table_name(table.name), names(columns), rows)


def create_temporary_table(
    connection: Connection, table: SqlTable, kind: str, columns: Sequence[str]
) -> sql.Identifier:
    """Create an empty temporary table with some columns of a table."""
    name = temporary_name(table, kind)
    # An earlier build in this transaction may have left its table.
    connection.execute(
        sql.SQL(
            "DROP TABLE IF EXISTS pg_temp.{name};"
            " CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
        ).format(names(columns), table_name(table.name), name=name)
    )
    return name
