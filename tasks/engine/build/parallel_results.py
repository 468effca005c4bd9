"""Results of large queries: parallel workers select the rows into a temporary table.

Postgres never runs `INSERT ... SELECT` in parallel, but it does run `CREATE TEMP TABLE ... AS` in parallel. So a build
asks Postgres for the plan of its query. If the plan has parallel workers, the build selects the rows into a temporary
table first. Any other query costs one EXPLAIN and no temporary table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.described_types import described_columns
from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection, table_name

_TARGET_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), n.nspname, c.collname
FROM pg_attribute AS a
LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
LEFT JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    AND has_database_privilege(current_database(), 'TEMPORARY')
"""


def select_in_parallel(
    connection: Connection,
    table: SqlTable,
    result: sql.Identifier,
    query: sql.Composable,
    columns: Sequence[str],
    parameters: Mapping[str, Any],
) -> bool:
    """Select the rows of a query into a temporary table, if Postgres plans parallel workers for the query.

    The columns of the temporary table have the types and collations of the table's columns. The temporary table ends
    with the transaction.

    Args:
        connection: In the transaction of the build.
        table: The table to which the build writes the rows afterwards.
        result: Name of the temporary table.
        query: One SELECT.
        columns: Names of the query's columns, which the table has as well.
        parameters: Values of the query's parameters.

    Returns:
        Whether the temporary table now holds the rows. If not, the caller writes the rows itself: Postgres plans no
        parallel workers, the role may not create temporary tables, or a column is a NULL or a literal without a type,
        whose type only an INSERT into the table decides.
    """
    if not plan_of(connection, query, parameters).is_parallel:
        return False
    target = {
        str(name): (str(type_), (schema, collation))
        for name, type_, schema, collation in connection.execute(_TARGET_COLUMNS, [table_name(table.name).as_string()])
    }
    given = dict(described_columns(connection, query, parameters))
    if not target or any(given[name] == "text" != target[name][0] for name in columns):
        return False
    selected = sql.SQL(", ").join(_as_target(name, *target[name]) for name in columns)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(result))  # of an earlier build
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM (\n{}\n) AS q").format(result, selected, query),
        parameters,
    )
    return True


def _as_target(name: str, type_: str, collation: tuple[str | None, str | None]) -> sql.Composed:
    schema, name_of_collation = collation
    cast = sql.SQL("q.{}::{}").format(sql.Identifier(name), sql.SQL(type_))
    if schema and name_of_collation:
        cast += sql.SQL(" COLLATE {}").format(sql.Identifier(schema, name_of_collation))
    return cast + sql.SQL(" AS {}").format(sql.Identifier(name))
