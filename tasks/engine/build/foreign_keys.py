"""Foreign keys of large builds: Postgres validates them once for all rows, not once for each row.

A foreign key runs a trigger for each inserted row and key. One validation of the whole table costs a tenth of that if
most rows are new. So a build drops the keys of such a table, writes the rows, and adds the keys again, in its
transaction: the keys exist with the same definition after the commit, and a rollback leaves them as they were.

Where another session uses the tables (`lone_changes.py`), the triggers check each row.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from tasks.engine.build import lone_changes
from tasks.engine.build.lone_changes import alteration, try_change
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.tables import Connection, table_name

_REFERENCES = re.compile(r"\bREFERENCES\b", re.IGNORECASE)

# A key that is not validated, or that Postgres checks at the commit, keeps its triggers. So do all keys of a table with
# deferrable triggers, because Postgres refuses to change a table with waiting triggers. Of a key between partitioned
# tables, only the parent's entry counts.
_KEYS = """
SELECT k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'), k.confrelid
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND pg_has_role(c.relowner, 'USAGE')
    AND k.contype = 'f' AND k.convalidated AND k.conparentid = 0 AND k.conislocal
    AND has_table_privilege(k.confrelid, 'REFERENCES') AND has_table_privilege(k.confrelid, 'SELECT')
    AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgdeferrable)
ORDER BY k.oid
"""


@dataclass(frozen=True)
class _Key:
    """A foreign key: its name, its definition, its comment and the id of the table to which it refers."""

    name: str
    definition: str
    comment: str | None
    referenced: int


@contextmanager
def keys_checked_together(connection: Connection, table: SqlTable, count_new: Callable[[], int]) -> Iterator[None]:
    """Write rows in the block; if most rows are new, their foreign keys are checked together at its end.

    Args:
        connection: In the transaction of the build.
        table: The table that the block writes.
        count_new: Returns the number of rows that the block may insert, exactly or as an estimate.

    Raises:
        psycopg.errors.ForeignKeyViolation: A row refers to a row that does not exist.
    """
    dropped: list[_Key] = []
    if _REFERENCES.search(table.text("table.sql")):
        new = count_new()
        if new >= lone_changes.LARGE_BUILD and _has_fewer_rows(connection, table, new):
            dropped = _drop(connection, table)
    yield
    if dropped:
        _add(connection, table, dropped)


def _has_fewer_rows(connection: Connection, table: SqlTable, count: int) -> bool:
    """Whether a table has fewer rows than a number; the query reads at most this number of rows."""
    found = connection.execute(
        sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS t").format(
            table_name(table.name), sql.Literal(count)
        )
    ).fetchone()
    return found is not None and found[0] < count


def _drop(connection: Connection, table: SqlTable) -> list[_Key]:
    """Drop the keys that the role may add again. Returns the dropped keys: none if another session uses the tables."""
    keys = [_Key(*row) for row in connection.execute(_KEYS, [table_name(table.name).as_string()])]
    drops = [sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(key.name)) for key in keys]
    referenced = [key.referenced for key in keys]
    return keys if keys and try_change(connection, table, [alteration(table, drops)], referenced) else []


def _add(connection: Connection, table: SqlTable, keys: Sequence[_Key]) -> None:
    """Add dropped keys again, which validates them for all rows.

    The statistics do not cover the new rows yet, so Postgres might choose a nested loop, which compares each row with
    each row of the other table. Without nested loops, Postgres joins the tables by hash.
    """
    added = [sql.SQL("ADD CONSTRAINT {} {}").format(sql.Identifier(key.name), sql.SQL(key.definition)) for key in keys]
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute(alteration(table, added))
    connection.execute("SET LOCAL enable_nestloop TO DEFAULT")
    for key in keys:
        if key.comment is not None:
            connection.execute(
                sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                    sql.Identifier(key.name), table_name(table.name), sql.Literal(key.comment)
                )
            )
