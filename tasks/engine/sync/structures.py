"""The structure of the tables of a source: what may change the rows of a table without writing them.

`xmin` shows which rows a transaction wrote. A change of the structure writes no row: a renamed table takes the place of
another, a partition is attached, a column is dropped and added with a default, or a label of an enum is renamed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.contracts.source_table import SourceTable
from tasks.engine.errors import SourceError, errors_at
from tasks.engine.sqlstates import NAMES
from tasks.engine.warehouse.tables import Connection

_TABLES = """
WITH RECURSIVE tree AS (
    SELECT c.oid AS root, c.oid AS member, n.nspname, c.relname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)
    UNION
    SELECT tree.root, i.inhrelid, tree.nspname, tree.relname
    FROM tree
    JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.member
)

SELECT
    found.nspname,
    found.relname,
    found.oids,
    array_agg(a.attname::text ORDER BY a.attnum),
    array_agg(
        concat_ws(
            ' ',
            a.attname,
            a.attnum,
            format_type(a.atttypid, NULL),
            (
                SELECT string_agg(quote_literal(e.enumlabel), ' ' ORDER BY e.enumsortorder)
                FROM pg_catalog.pg_enum e
                WHERE e.enumtypid = a.atttypid
            )
        )
        ORDER BY a.attnum
    )
FROM (
    SELECT root, nspname, relname, array_agg(member::bigint ORDER BY member) AS oids
    FROM tree
    GROUP BY root, nspname, relname
) AS found
JOIN pg_catalog.pg_attribute a ON a.attrelid = found.root AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY found.nspname, found.relname, found.oids
"""


@dataclass(frozen=True)
class Structure:
    """The structure of a table.

    Attributes:
        oids: Ids of the table, of its partitions and of the tables that inherit from the table.
        columns: A description of each column: name, number, type and labels of an enum.
    """

    oids: list[int]
    columns: list[str]


@dataclass(frozen=True)
class FoundTable:
    """A table in the catalog of the source: the ids of `Structure`, and the descriptions by column."""

    oids: list[int]
    columns: Mapping[str, str]

    def of(self, table: SourceTable) -> Structure:
        """The structure of the extracted columns."""
        return Structure(self.oids, [self.columns[name] for name in table.columns])

    def unknown_to(self, table: SourceTable) -> tuple[str, ...]:
        """Columns that the pipeline does not extract."""
        return tuple(name for name in self.columns if name not in table.columns)


def read_structures(connection: Connection, tables: Sequence[SourceTable]) -> dict[SourceTable, FoundTable]:
    """Read the structures of tables from the catalog.

    Raises:
        SourceError: Tables (42P01) or columns (42703) are missing; the message names all of them.
    """
    with errors_at("source catalog"):
        found = {
            (schema, name): FoundTable(oids, dict(zip(names, columns, strict=True)))
            for schema, name, oids, names, columns in connection.execute(
                _TABLES, [sorted({table.schema for table in tables})]
            )
        }
    where = f"database {connection.info.dbname} at {connection.info.host}:{connection.info.port}"
    if missing := [table for table in tables if (table.schema, table.name) not in found]:
        raise SourceError(
            f"Postgres [42P01] {NAMES['42P01']}: expected {', '.join(table.place for table in missing)} in {where},"
            f" found {', '.join(sorted('.'.join(name) for name in found)) or 'no table'}; check the source's address"
        )
    structures = {table: found[table.schema, table.name] for table in tables}
    absent = {table: sorted(set(table.columns) - set(columns.columns)) for table, columns in structures.items()}
    if any(absent.values()):
        errors = (
            f"{table.place} without {', '.join(names)}, found {', '.join(structures[table].columns)}"
            for table, names in absent.items()
            if names
        )
        raise SourceError(
            f"Postgres [42703] {NAMES['42703']}: {'; '.join(errors)} (in {where}); nothing was extracted. Restore the"
            " columns, or remove them from the pipeline's list of columns"
        )
    return structures
