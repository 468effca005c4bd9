"""Rebuilds of derived tables: make an unsafe change by filling a second table and swapping the tables.

`-- rebuild: from query` in the header of `table.sql` declares that `query.sql` returns every row again, with no
parameter except the partition's column. The step fills the new table while readers use the old table, and swaps them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import ClientCursor, sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.schema.desired import WantedObject, moved_ddl
from tasks.engine.schema.relations import Relation
from tasks.engine.warehouse.tables import Connection, table_name

SCHEMA = "tally_rebuild"
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class Rebuild:
    """The rebuild of a table.

    Attributes:
        table: SQL files of the table.
        parameters: Values of the query's parameters, once for each partition of the old table.
        statements: Statements that create, fill and swap the new table.
    """

    table: SqlTable
    parameters: tuple[dict[str, Any], ...]
    statements: tuple[sql.SQL | sql.Composed, ...]


def rebuild_of(
    connection: Connection, each: WantedObject, table: SqlTable, found: Relation, wanted: Relation
) -> Rebuild | None:
    """Plan the rebuild of a table; None if its header does not declare it, or its columns do not allow it.

    Args:
        connection: In a transaction.
        each: The wanted table.
        table: SQL files of the table.
        found: The existing table.
        wanted: Description of the wanted table.
    """
    is_declared = table.header("table.sql").get("rebuild") == "from query"
    if not is_declared or found.kind != wanted.kind or set(rebuild_errors(table)):
        return None
    column = table.replaced_column
    if column and (column not in found.columns or found.columns[column].type != wanted.columns[column].type):
        return None
    if any(one.kind or one.default is not None for one in wanted.columns.values()):
        return None  # it is unknown which of the columns the query returns
    parameters: tuple[dict[str, Any], ...] = ({},)
    if column:
        query = sql.SQL("SELECT DISTINCT {0} FROM {1} ORDER BY {0}").format(
            sql.Identifier(column), table_name(each.name)
        )
        parameters = tuple({column: value} for (value,) in connection.execute(query))
    statements = tuple(_statements(connection, each, table, found, wanted, parameters))
    return Rebuild(table, parameters, statements)


def rebuild_errors(table: SqlTable) -> Iterator[str]:
    """Describe why a table cannot be rebuilt from its query."""
    if table.header("table.sql").get("rebuild") != "from query":
        yield "expected `rebuild: from query`, or no such line"
    elif not table.text("query.sql") or table.disposition.kind != "replace" or table.is_shared:
        yield (
            "expected a query that replaces the table or a partition, because a rebuild needs every row again; change"
            " another table, such as a history, with a migration"
        )
    elif others := set(_PARAMETER.findall(table.text("query.sql"))) - {table.replaced_column}:
        yield f"expected no parameter except the partition's column, found {', '.join(sorted(others))}"


def _statements(
    connection: Connection,
    each: WantedObject,
    table: SqlTable,
    found: Relation,
    wanted: Relation,
    parameters: tuple[dict[str, Any], ...],
) -> Iterator[sql.SQL | sql.Composed]:
    name = each.name.split(".")[1]
    new = sql.Identifier(SCHEMA, name)
    yield sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA))
    yield moved_ddl(connection, each, SCHEMA)
    names = sql.SQL(", ").join(map(sql.Identifier, wanted.columns))
    insert = sql.SQL("INSERT INTO {} ({names}) SELECT {names} FROM (\n{}\n) AS q").format(new, table.query, names=names)
    for values in parameters:
        text = ClientCursor(connection).mogrify(insert, values) if values else insert.as_string(connection)
        yield sql.SQL(text)
    yield sql.SQL("ANALYZE {}").format(new)
    yield sql.SQL("DROP TABLE {}").format(table_name(each.name))
    yield sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(new, sql.Identifier(each.schema))
    yield sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA))
    yield from (sql.SQL(grant) for grant in found.grants)
    # The entries count the rows of the old table. The changed file makes every partition due again.
    yield sql.SQL("DELETE FROM ledger.builds WHERE table_name = {}").format(sql.Literal(each.name))
