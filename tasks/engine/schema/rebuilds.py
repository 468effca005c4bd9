"""Derived tables that may be made anew: a change that is not safe in place is made by a second table and a swap.

`-- rebuild: from query` in the header of `table.sql` says that `query.sql` gives every row again, with no parameter but
the partition's column. The step fills the new table beside the old one, which readers use meanwhile, and swaps them.
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
    """A table that is made anew.

    Attributes:
        table: Its folder.
        parameters: Values of the query's parameters, once for each partition that the old table holds.
        statements: All that make, fill and swap it.
    """

    table: SqlTable
    parameters: tuple[dict[str, Any], ...]
    statements: tuple[sql.SQL | sql.Composed, ...]


def rebuild_of(
    connection: Connection, each: WantedObject, table: SqlTable, found: Relation, wanted: Relation
) -> Rebuild | None:
    """How a table is made anew; None where its header does not say so, or its columns do not allow it.

    Args:
        connection: In a transaction.
        each: The table as it is wanted.
        table: Its folder.
        found: The table as it is.
        wanted: What its DDL makes.
    """
    is_declared = table.header("table.sql").get("rebuild") == "from query"
    if not is_declared or found.kind != wanted.kind or set(rebuild_errors(table)):
        return None
    column = table.replaced_column
    if column and (column not in found.columns or found.columns[column].type != wanted.columns[column].type):
        return None
    if any(one.kind or one.default is not None for one in wanted.columns.values()):
        return None  # nobody could say which of the columns the query gives
    parameters: tuple[dict[str, Any], ...] = ({},)
    if column:
        query = sql.SQL("SELECT DISTINCT {0} FROM {1} ORDER BY {0}").format(
            sql.Identifier(column), table_name(each.name)
        )
        parameters = tuple({column: value} for (value,) in connection.execute(query))
    statements = tuple(_statements(connection, each, table, found, wanted, parameters))
    return Rebuild(table, parameters, statements)


def rebuild_errors(table: SqlTable) -> Iterator[str]:
    """Why a table cannot be made anew from its query, whatever its header says."""
    if table.header("table.sql").get("rebuild") != "from query":
        yield "expected `rebuild: from query`, or no such line"
    elif not table.text("query.sql") or table.disposition.kind != "replace" or table.is_shared:
        yield "expected a query that replaces the table or a partition"
    elif others := set(_PARAMETER.findall(table.text("query.sql"))) - {table.replaced_column}:
        yield f"expected no parameter but the partition's column, found {', '.join(sorted(others))}"


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
    # The entries count rows of the old table. The changed file makes every partition due anyway.
    yield sql.SQL("DELETE FROM ledger.builds WHERE table_name = {}").format(sql.Literal(each.name))
