"""Indexes of large first builds: Postgres builds them from all rows, instead of adding each row to each index.

An index that is built from all rows costs a fifth of one that grows row by row, above all if its columns are not in the
order of the rows. So the first large build of a table drops the indexes, unique keys included, and creates them again
after its insert, in its transaction. If a row repeats a key, the unique key cannot be created, and the build fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from tasks.engine.build.lone_changes import alteration, try_change
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.tables import Connection, table_name

# An index stays if its definition does not contain all of its properties, if a foreign key or a view depends on it, or
# if it excludes rows. All indexes of a table with deferrable triggers stay, because Postgres refuses to change a table
# with waiting triggers.
_INDEXES = """
SELECT n.nspname, x.relname, k.conname,
    coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(x.oid)),
    obj_description(x.oid, 'pg_class'), obj_description(k.oid, 'pg_constraint')
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = x.relnamespace
JOIN pg_class AS c ON c.oid = i.indrelid
LEFT JOIN pg_constraint AS k ON k.conindid = x.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass
    AND pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')
    AND i.indisvalid AND i.indisready AND NOT i.indisclustered AND NOT i.indisreplident AND NOT i.indisexclusion
    AND x.reloptions IS NULL AND x.reltablespace = 0 AND k.conislocal IS NOT FALSE
    AND NOT EXISTS (
        SELECT FROM pg_attribute AS a WHERE a.attrelid = x.oid AND coalesce(a.attstattarget, -1) <> -1
    )
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE (d.refclassid, d.refobjid) IN (('pg_class'::regclass, x.oid), ('pg_constraint'::regclass, k.oid))
            AND d.deptype NOT IN ('i', 'P', 'S')
    )
    AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgdeferrable)
ORDER BY x.oid
"""


@dataclass(frozen=True)
class _Index:
    """An index: its schema and name, its unique key if it has one, its definition, and the comments of both."""

    schema: str
    name: str
    key: str | None
    definition: str
    comment: str | None
    key_comment: str | None

    def drop(self, table: SqlTable) -> sql.Composed:
        """Return the statement that drops the index."""
        if self.key is not None:
            return alteration(table, [sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(self.key))])
        return sql.SQL("DROP INDEX {}").format(sql.Identifier(self.schema, self.name))

    def create(self, table: SqlTable) -> Iterator[sql.Composed]:
        """Yield the statements that create the index as it was."""
        if self.key is not None:
            definition = sql.SQL("ADD CONSTRAINT {} {}").format(sql.Identifier(self.key), sql.SQL(self.definition))
            yield alteration(table, [definition])
        else:
            yield sql.Composed([sql.SQL(self.definition)])
        if self.key is not None and self.key_comment is not None:
            yield sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                sql.Identifier(self.key), table_name(table.name), sql.Literal(self.key_comment)
            )
        if self.comment is not None:
            yield sql.SQL("COMMENT ON INDEX {} IS {}").format(
                sql.Identifier(self.schema, self.name), sql.Literal(self.comment)
            )


@contextmanager
def indexes_built_together(connection: Connection, table: SqlTable) -> Iterator[None]:
    """Insert the first rows of a table in the block; its indexes are created at the end of the block.

    Where the role may not change the table, or another session uses it, each row is added to the indexes.

    Raises:
        psycopg.errors.UniqueViolation: Two rows have the same unique key.
    """
    indexes = [_Index(*row) for row in connection.execute(_INDEXES, [table_name(table.name).as_string()])]
    is_dropped = try_change(connection, table, [index.drop(table) for index in indexes])
    yield
    if is_dropped:
        for index in indexes:
            for statement in index.create(table):
                connection.execute(statement)
