"""Check the types that a build writes: the table's column must store each value of the query's column unchanged.

`INSERT ... SELECT` converts a value of another type without an error. A numeric is rounded to the scale of the column,
a timestamp becomes a date. So a build compares the types first, and a query must cast where the types differ.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import SqlFileError
from tasks.engine.warehouse.described_types import described_columns
from tasks.engine.warehouse.tables import Connection, table_name
from tasks.engine.warehouse.type_changes import is_widening

_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_NUMERIC = re.compile(r"numeric(?:\((\d+),(\d+)\))?$")
_PLAIN_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND NOT atthasdef AND attidentity = ''
    AND attname <> ALL(%s)
ORDER BY attnum
"""
_PROBE = sql.Identifier("tally_probe")


def written_columns(
    connection: Connection,
    table: SqlTable,
    query: sql.SQL,
    parameters: Mapping[str, Any],
    file: str = "query.sql",
    described: Sequence[tuple[str, str]] | None = None,
) -> list[str]:
    """Names of the columns that a query writes to a table, in order.

    Args:
        connection: In the transaction of the build.
        table: Table to write.
        query: One SELECT.
        parameters: Values of the query's parameters.
        file: File of the query, for messages.
        described: The columns of the query, if the caller has asked Postgres for them.

    Raises:
        SqlFileError: The table has no such column, or the assignment could change a value without an error.
    """
    given = described_columns(connection, query, parameters) if described is None else described
    names = [name for name, _ in given]
    target = dict(described_columns(connection, sql.SQL("SELECT * FROM {}").format(table_name(table.name))))
    if unknown := [name for name in names if name not in target]:
        raise SqlFileError(
            f"{table.address(file)}: expected columns of {table.name} ({', '.join(target)}), found"
            f" {', '.join(unknown)}; give the query's columns the names of the table's columns"
        )
    errors = [
        f"column {name}: expected {target[name]}, as {table.name} has, found {type_}"
        for name, type_ in given
        if not keeps_values(type_, target[name])
        and not (type_ == "text" and _is_untyped(connection, query, parameters, names, name))
    ]
    if errors:
        raise SqlFileError(
            f"{table.address(file)}: {'; '.join(errors)}: Postgres could change the value without an error. Cast in the"
            " query, e.g. round(x, 2)::numeric(14,2)"
        )
    return names


def refuse_unwritten(connection: Connection, table: SqlTable, columns: Sequence[str]) -> None:
    """Refuse a query that returns no value for a column of a table whose rows it changes.

    An earlier query may have written the column. A row that the build changes or leaves would keep the earlier value.

    Args:
        connection: In the transaction of the build.
        table: Table to write.
        columns: Columns that the build writes.

    Raises:
        SqlFileError: The table has another column, which has no default and which Postgres does not compute.
    """
    rows = connection.execute(_PLAIN_COLUMNS, [table_name(table.name).as_string(), [*columns]])
    if names := [str(name) for (name,) in rows]:
        raise SqlFileError(
            f"{table.address('query.sql')}: expected a value for each column of {table.name} without a default, found"
            f" no {', '.join(names)}: rows would keep the values of an earlier query. Return the column, e.g."
            f" NULL AS {names[0]}, or remove it from the table with a migration"
        )


def keeps_values(given: str, target: str) -> bool:
    """Whether a column stores every value of another type unchanged, or refuses the value with an error.

    More pairs of types qualify here than for a change of a column's type: a numeric column stores an integer unchanged.
    """
    if given == target or is_widening(given, target) or (given, target) == ("real", "double precision"):
        return True
    numeric = _NUMERIC.match(target)
    if given not in _DIGITS or numeric is None:
        return False
    return numeric[1] is None or int(numeric[1]) - int(numeric[2]) >= _DIGITS[given]


def _is_untyped(
    connection: Connection, query: sql.SQL, parameters: Mapping[str, Any], names: Sequence[str], name: str
) -> bool:
    """Whether a column is NULL or a literal without a type, which Postgres reads as a value of the table's type.

    Postgres describes such a column as text. But Postgres accepts it for a bytea column, and refuses other texts there.
    The test plans the query and does not run it.
    """
    column, found = sql.Identifier(name), True
    with connection.transaction(force_rollback=True):
        connection.execute(
            sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM (\n{}\n) AS q WITH NO DATA").format(_PROBE, query),
            parameters,
        )
        connection.execute(sql.SQL("ALTER TABLE {} ALTER {} TYPE bytea USING NULL").format(_PROBE, column))
        insert = sql.SQL("EXPLAIN INSERT INTO {} ({})\n{}").format(
            _PROBE, sql.SQL(", ").join(map(sql.Identifier, names)), query
        )
        try:
            connection.execute(insert, parameters)
        except psycopg.errors.DatatypeMismatch:
            found = False
        except psycopg.DataError:  # a literal that is not valid for bytea
            found = True
    return found
