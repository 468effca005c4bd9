"""Changes of a table's definition during a build, if no other session uses the table.

Such a change locks the table until the commit, for readers as well. So the build makes it only where no other session
uses the table at that moment.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.tables import Connection, table_name

LARGE_BUILD = 10_000
"""The number of new rows from which a build changes a table's definition for its write. For fewer rows, the changes of
the catalog take more time than they save."""

LOCK_WAIT = "3s"
"""Maximum wait for the lock of a table. Autovacuum frees a table for which another session waits, after Postgres's
`deadlock_timeout` of one second."""

# Workers of autovacuum have no user.
_USERS = """
SELECT EXISTS (
    SELECT FROM pg_locks AS l
    JOIN pg_stat_activity AS a USING (pid)
    JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL AND l.relation IN (
        SELECT coalesce(p.relid, t.oid)
        FROM unnest(to_regclass(%(table)s)::oid || %(referenced)s::oid[]) AS t (oid)
        LEFT JOIN LATERAL pg_partition_tree(t.oid) AS p ON true
    )
)
"""


def try_change(
    connection: Connection, table: SqlTable, changes: Sequence[sql.Composed], referenced: Sequence[int] = ()
) -> bool:
    """Change a table's definition, if no other session uses the table or the tables to which it refers.

    Args:
        connection: In the transaction of the build.
        table: The table.
        changes: The statements.
        referenced: The ids of the tables that the changes lock as well.

    Returns:
        Whether the statements ran. If not, nothing changed, and no lock remains.
    """
    tables = {"table": table_name(table.name).as_string(), "referenced": [*referenced]}
    if not changes or connection.execute(_USERS, tables).fetchone() == (True,):
        return False
    try:
        with connection.transaction():  # a savepoint: its rollback frees the locks
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
            for change in changes:
                connection.execute(change)
            connection.execute("SET LOCAL lock_timeout = 0")
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.ObjectInUse,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.DependentObjectsStillExist,
    ):
        return False
    return True


def alteration(table: SqlTable, actions: Sequence[sql.Composed]) -> sql.Composed:
    """Return one ALTER TABLE statement with all given actions."""
    return sql.SQL("ALTER TABLE {} {}").format(table_name(table.name), sql.SQL(", ").join(actions))
