"""Read the columns and the partitions of tables from Postgres' catalog."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from tasks.engine.warehouse.tables import Connection, table_name


@dataclass(frozen=True)
class ColumnShape:
    """The properties of a column that matter for a COPY.

    Attributes:
        type: As Postgres prints it, with length or precision, such as `numeric(12,4)`.
        is_nullable: Whether the column takes null.
    """

    type: str
    is_nullable: bool

    def __str__(self) -> str:
        return self.type if self.is_nullable else f"{self.type} NOT NULL"


def columns_of(connection: Connection, table: str) -> dict[str, ColumnShape]:
    """The columns of a table by name, in the order of the table; empty if the table does not exist."""
    schema, name = table.split(".")
    rows = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY a.attnum",
        [schema, name],
    )
    return {str(column): ColumnShape(str(type_), bool(is_nullable)) for column, type_, is_nullable in rows}


def is_partition_of(connection: Connection, child: str, parent: str) -> bool:
    """Whether one table is attached to another as a partition."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " JOIN pg_namespace cn ON cn.oid = c.relnamespace JOIN pg_class p ON p.oid = i.inhparent"
        " JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE c.relispartition"
        " AND (cn.nspname, c.relname) = (%s, %s) AND (pn.nspname, p.relname) = (%s, %s))",
        [*child.split("."), *parent.split(".")],
    ).fetchone()
    return row == (True,)


def column_differences(
    table: str, expected: Mapping[str, ColumnShape], found: Mapping[str, ColumnShape]
) -> list[tuple[str, sql.Composed]]:
    """Compare a table's columns with the expected columns: a sentence and a statement for each difference."""
    differences: list[tuple[str, sql.Composed]] = []
    alter = sql.SQL("ALTER TABLE {} ").format(table_name(table))
    for name, wanted in expected.items():
        column, there = sql.Identifier(name), found.get(name)
        if there is None:
            definition = sql.SQL("ADD COLUMN {} {}").format(column, sql.SQL(str(wanted)))
            differences.append((f"column {name}: expected {wanted}, found no such column", alter + definition))
            continue
        if there.type != wanted.type:
            change = sql.SQL("ALTER COLUMN {0} TYPE {1} USING {0}::{1}").format(column, sql.SQL(wanted.type))
            differences.append((f"column {name}: expected {wanted.type}, found {there.type}", alter + change))
        if there.is_nullable != wanted.is_nullable:
            verb = "DROP" if wanted.is_nullable else "SET"
            change = sql.SQL("ALTER COLUMN {} " + f"{verb} NOT NULL").format(column)
            expectation = "NULL allowed" if wanted.is_nullable else "NOT NULL"
            reality = "NULL allowed" if there.is_nullable else "NOT NULL"
            differences.append((f"column {name}: expected {expectation}, found {reality}", alter + change))
    for name, there in found.items():
        if name not in expected:
            drop = sql.SQL("DROP COLUMN {}").format(sql.Identifier(name))
            differences.append((f"column {name}: expected no such column, found {there}", alter + drop))
    return differences
