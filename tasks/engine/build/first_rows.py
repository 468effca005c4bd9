"""First rows of a table: a large build of an empty table inserts the rows of its query directly.

No row of the query can change or remove another row, so the build needs no temporary table with the query's rows and
no search for existing keys. The table's unique key refuses repeated keys, and its columns refuse nulls.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from tasks.engine.build import lone_changes
from tasks.engine.build.foreign_keys import keys_checked_together
from tasks.engine.build.index_builds import indexes_built_together
from tasks.engine.build.refusals import refuse_keys, refuse_unaffected
from tasks.engine.build.results import Parameters, prepare_insert, select_result
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection, table_name

# Whether a table is empty and has a unique key of exactly the columns of the header's key. A deferrable key does not
# count, because only other keys refuse a repeated row at once.
_IS_EMPTY = """
SELECT NOT EXISTS (SELECT FROM {}) AND EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = to_regclass(%(table)s) AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = cardinality(%(key)s::text[])
        AND i.indnkeyatts = i.indnatts
        AND NOT EXISTS (
            SELECT FROM unnest(%(key)s::text[]) AS k (name)
            WHERE NOT EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = i.indrelid AND a.attname = k.name AND a.attnotnull AND a.attnum = ANY (i.indkey)
            )
        )
)
"""


def is_first_write(connection: Connection, table: SqlTable, parameters: Parameters) -> bool:
    """Return whether a table is empty and has its key as a unique key, and its query may return many rows.

    The step of the plan with the most rows counts, because Postgres often expects too few groups without statistics.
    """
    facts = {"table": table_name(table.name).as_string(), "key": [*table.key]}
    found = connection.execute(sql.SQL(_IS_EMPTY).format(table_name(table.name)), facts).fetchone()
    return found == (True,) and plan_of(connection, table.query, parameters).most_rows >= lone_changes.LARGE_BUILD


def write_first_rows(connection: Connection, table: SqlTable, columns: Sequence[str], parameters: Parameters) -> int:
    """Insert the rows of a query into an empty table. Returns their number.

    Raises:
        SqlFileError: A key of the query's rows is null or occurs twice. A row of a merge has a key that the merge does
            not recompute.
    """
    try:
        with (
            connection.transaction(),  # a savepoint: after an error, the build names the key
            keys_checked_together(connection, table, lambda: lone_changes.LARGE_BUILD),
            indexes_built_together(connection, table),
        ):
            row_count = connection.execute(prepare_insert(connection, table, columns, parameters), parameters).rowcount
            if table.disposition.kind == "merge":
                refuse_unaffected(connection, table, table_name(table.name))
            return row_count
    except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation):
        refuse_keys(connection, table, select_result(connection, table, "result", table.query, columns, parameters))
        raise
