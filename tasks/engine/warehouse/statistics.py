"""Statistics of tables that a load has just filled, for the plans of the builds that follow.

Autovacuum analyses a table up to a minute after its load. Until then Postgres would expect 1 of 200 rows of a new
partition in each condition. So the load analyses the table itself, with a small sample. The counters of autovacuum
keep the rows of the load, so autovacuum still takes its full sample later.
"""

from psycopg import sql

from tasks.engine.warehouse.tables import Connection, table_name

FEW_ROWS = 10_000
"""Any plan is fast for a load with fewer rows."""

OLD_SHARE = 0.1
"""The share of new rows from which the statistics are old; autovacuum has the same limit."""

SAMPLE = 10
"""The statistics target: a sample of 3,000 rows, which takes 0.04 s of CPU for 3 million events."""


def refresh_statistics(connection: Connection, table: str, new_rows: int) -> None:
    """Analyse a table if a load has changed a large part of it.

    The function does nothing if another session analyses or vacuums the table, or if the role does not own the table.

    Args:
        connection: In the transaction of the load.
        table: The table.
        new_rows: Number of rows that the load wrote.
    """
    if new_rows < FEW_ROWS:
        return
    row = connection.execute(
        "SELECT reltuples, set_config('default_statistics_target', %s, true) FROM pg_class"
        " WHERE oid = to_regclass(%s) AND pg_has_role(relowner, 'USAGE')",
        [str(SAMPLE), table_name(table).as_string()],
    ).fetchone()
    if row and new_rows > OLD_SHARE * row[0]:
        connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(table_name(table)))
