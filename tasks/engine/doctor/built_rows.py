"""Check of the built tables: a replaced table or partition holds as many rows as its last build wrote."""

from collections.abc import Iterator

from psycopg import sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.doctor.ledger_state import LedgerState, some
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped
from tasks.engine.warehouse.tables import has_table, table_name

_NAMED_BY_PARTITION = ("date", "text")
"""Types whose values, as texts, are names of partitions. The value of a month is its first day."""

# An entry without a fingerprint is outdated: its partition is due, and another build may have changed its rows.
_COUNTS = """
WITH found AS (SELECT {value} AS value, count(*) AS row_count FROM {table} GROUP BY 1),
known AS (
    SELECT
        partition,
        row_count,
        partition || CASE WHEN {is_date} AND length(partition) = 7 THEN '-01' ELSE '' END AS value
    FROM ledger.builds
    WHERE table_name = {name} AND fingerprint <> '' AND (partition = '') = {is_whole}
)
SELECT k.partition, k.row_count, coalesce(f.row_count, 0)
FROM known AS k LEFT JOIN found AS f USING (value)
WHERE k.row_count <> coalesce(f.row_count, 0) ORDER BY 1
"""


def check_built_rows(state: LedgerState) -> Iterator[Finding]:
    """Each table and partition that a build replaces holds the rows of its last build. One query for each table.

    The check leaves out other tables: the ledger counts the changes of a merge, a history, an upsert or an append, and
    not their rows.
    """
    checked, is_equal = 0, True
    for table in state.built.values():
        is_replaced = table.disposition.kind == "replace" and not table.is_shared
        if not is_replaced or not has_table(state.connection, table.name):
            continue
        if (query := _query(state, table)) is None:
            continue
        checked += 1
        if differences := state.connection.execute(query).fetchall():
            is_equal = False
            texts = [
                f"{partition + ': ' if partition else ''}{built:,} rows built, {found:,} found"
                for partition, built, found in differences
            ]
            yield problem(
                f"{table.name} differs from its builds: {some(texts)}",
                "as many rows as the last build wrote: rows were added or removed outside of Tally",
                "Run the pipeline, or its backfill for these partitions, with force=true",
            )
    if checked and is_equal:
        yield ok(f"{checked} replaced tables hold the rows of their builds")
    elif is_equal:
        yield skipped("no table that a build replaces exists yet")


def _query(state: LedgerState, table: SqlTable) -> sql.Composed | None:
    """The query that compares a table with the ledger; None if the partition column is not named by partitions."""
    column = table.replaced_column
    type_ = _type_of(state, table, column) if column else ""
    if column and type_ not in _NAMED_BY_PARTITION:
        return None
    return sql.SQL(_COUNTS).format(
        value=sql.SQL("{}::text").format(sql.Identifier(column)) if column else sql.Literal(""),
        table=table_name(table.name),
        name=sql.Literal(table.name),
        is_date=sql.Literal(type_ == "date"),
        is_whole=sql.Literal(column is None),
    )


def _type_of(state: LedgerState, table: SqlTable, column: str) -> str:
    rows = state.rows(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
        table_name(table.name).as_string(),
        column,
    )
    return str(rows[0][0]) if rows else ""


BUILT_CHECKS = (Check("rows of the built tables", check_built_rows),)
