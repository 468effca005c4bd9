"""Parts of the statements that write tables: lists of columns, comparisons of keys, names of temporary tables."""

from collections.abc import Iterable

from psycopg import sql

from tasks.engine.build.sql_files import SqlTable


def temporary_name(table: SqlTable, kind: str) -> sql.Identifier:
    """Name of a temporary table beside a table, such as `affected_orders`."""
    return sql.Identifier(f"{kind}_{table.name.split('.')[1]}")


def names(columns: Iterable[str], relation: str = "") -> sql.Composed:
    """List some columns, of a relation if it is given."""
    parts = ((relation, column) if relation else (column,) for column in columns)
    return sql.SQL(", ").join(sql.Identifier(*part) for part in parts)


def equal(left: str, right: str, columns: Iterable[str]) -> sql.Composed:
    """Compare some columns of two relations by `=`."""
    pairs = ((sql.Identifier(left, column), sql.Identifier(right, column)) for column in columns)
    return sql.SQL(" AND ").join(sql.SQL("{} = {}").format(*pair) for pair in pairs)
