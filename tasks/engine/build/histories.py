"""The write disposition `history by (key)`: keep each version of a row with the time in which it is valid.

A row is valid from `valid_from` until, and not including, `valid_to`; null is the end of a current row. A build sets
the rows that are valid from its snapshot to the next snapshot, and leaves all other times unchanged. It writes only
rows that change: it cuts and removes old rows, extends an adjacent row with equal values, and inserts the other rows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import sql

from tasks.engine.build.composition import equal, names, temporary_name
from tasks.engine.build.snapshots import Snapshot
from tasks.engine.build.sql_files import VALID_FROM, VALID_TO, SqlTable
from tasks.engine.errors import ShrinkError, SqlFileError
from tasks.engine.warehouse.tables import Connection, table_name

_BY_VALUE = re.compile(r"(?:numeric|real|double precision|jsonb)\b")
"""Types whose equal values may be stored in several forms, such as 1.0 and 1.00. An equal value is no new version.
All other types are compared by their stored form, because `=` calls an interval of a month and one of 30 days equal."""


def write_history(
    connection: Connection, table: SqlTable, columns: Sequence[str], result: sql.Identifier, snapshot: Snapshot
) -> int:
    """Write the rows of a snapshot into its history.

    Args:
        connection: In the transaction of the build.
        table: The history.
        columns: Columns of the query.
        result: Temporary table with the query's rows, one per key.
        snapshot: The time for which the rows are valid.

    Returns:
        Number of rows that were inserted, changed and removed.

    Raises:
        SqlFileError: The table has rows of a snapshot that the ledger does not know.
        ShrinkError: A snapshot without rows would end all rows.
    """
    history = _History(table, tuple(columns), result, snapshot, _column_types(connection, table))
    if snapshot.is_withdrawn:
        connection.execute(sql.SQL("DELETE FROM {}").format(result))
        connection.execute(history.statement(_EARLIER_ROWS))
    _select_changes(connection, history)
    return sum(connection.execute(history.statement(text)).rowcount for text in history.steps())


@dataclass(frozen=True)
class _History:
    """The names and values in the statements of one build."""

    table: SqlTable
    columns: tuple[str, ...]
    result: sql.Identifier
    snapshot: Snapshot
    types: dict[str, str]

    @cached_property
    def changed(self) -> sql.Identifier:
        """Temporary table of the keys whose rows change."""
        return temporary_name(self.table, "changed")

    def statement(self, text: str) -> sql.Composed:
        """Return a statement with its names and values."""
        key = self.table.disposition.columns
        return sql.SQL(text).format(
            table=table_name(self.table.name),
            result=self.result,
            changed=self.changed,
            columns=names(self.columns),
            result_columns=names(self.columns, "r"),
            table_columns=names(self.columns, "t"),
            assignments=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(column), sql.Identifier("r", column))
                for column in self.columns
            ),
            key=names(key),
            table_key=names(key, "t"),
            first=sql.Identifier(key[0]),
            keys=sql.SQL(", ").join(
                sql.SQL("coalesce({}, {}) AS {}").format(
                    sql.Identifier("t", column), sql.Identifier("r", column), sql.Identifier(column)
                )
                for column in key
            ),
            t_is_r=equal("t", "r", key),
            t_is_d=equal("t", "d", key),
            d_is_r=equal("d", "r", key),
            n_is_r=equal("n", "r", key),
            t_is_gone=equal("t", "gone", key),
            t_same_r=self._same("t", "r"),
            n_same_r=self._same("n", "r"),
            is_unknown=self._is_unknown(),
            start=self._time(self.snapshot.start),
            end=self._time(self.snapshot.end),
        )

    def _time(self, value: object) -> sql.Composed:
        return sql.SQL("{}::timestamptz::{}").format(sql.Literal(value), sql.SQL(self.types[VALID_FROM]))

    def _is_unknown(self) -> sql.Composed:
        """Whether an old row begins or ends between the snapshot and the next one, where the ledger has no snapshot."""
        start, end = self._time(self.snapshot.start), self._time(self.snapshot.end)
        return sql.SQL("(t.valid_from > {} OR t.valid_to < coalesce({}, 'infinity'))").format(start, end)

    def _same(self, left: str, right: str) -> sql.Composed:
        """Whether two rows of a key have the same values."""
        others = [column for column in self.columns if column not in self.table.disposition.columns]
        values = [column for column in others if _BY_VALUE.match(self.types[column])]
        forms = [column for column in others if column not in values]
        parts: list[sql.Composable] = [
            sql.SQL("{} IS NOT DISTINCT FROM {}").format(sql.Identifier(left, column), sql.Identifier(right, column))
            for column in values
        ]
        if forms:
            row = sql.SQL("ROW({})::record *= ROW({})::record")
            parts.append(row.format(names(forms, left), names(forms, right)))
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts or [sql.SQL("true")]))

    def steps(self) -> Iterator[str]:
        """Return the statements that write the history, in an order in which no two rows of a key ever overlap."""
        has_end = self.snapshot.end is not None
        yield _CUT
        if has_end:
            yield _MOVE_REST
        yield _REMOVE
        if has_end:
            yield _INSERT_REST
            yield _JOIN_NEIGHBOURS
        yield _EXTEND_EARLIER
        if has_end:
            yield _EXTEND_LATER
        yield _INSERT


_EARLIER_ROWS = """
INSERT INTO {result} ({columns}) SELECT {columns} FROM {table}
WHERE valid_from < {start} AND (valid_to IS NULL OR valid_to >= {start})
"""

_CHANGES = """
CREATE TEMP TABLE {changed} ON COMMIT DROP AS
SELECT
    {keys},
    t.valid_from AS old_from,
    t.valid_to AS old_to,
    {is_unknown} AS is_unknown,
    coalesce(t.valid_to > {end} OR t.valid_to IS NULL AND {end} IS NOT NULL, false) AS has_rest
FROM (
    SELECT * FROM {table} AS t
    WHERE (valid_from < {end} OR {end} IS NULL) AND (valid_to > {start} OR valid_to IS NULL)
) AS t
FULL JOIN {result} AS r ON {t_is_r}
WHERE
    t.{first} IS NULL OR r.{first} IS NULL OR NOT {t_same_r}
    OR {is_unknown}
"""

_CUT = """
UPDATE {table} AS t SET valid_to = {start} FROM {changed} AS d
WHERE {t_is_d} AND t.valid_from = d.old_from AND d.old_from < {start}
"""

_MOVE_REST = """
UPDATE {table} AS t SET valid_from = {end} FROM {changed} AS d
WHERE {t_is_d} AND t.valid_from = d.old_from AND d.old_from = {start} AND d.has_rest
"""

_REMOVE = """
DELETE FROM {table} AS t USING {changed} AS d
WHERE {t_is_d} AND t.valid_from = d.old_from AND d.old_from = {start} AND NOT d.has_rest
"""

_INSERT_REST = """
INSERT INTO {table} ({columns}, valid_from, valid_to)
SELECT {table_columns}, {end}, d.old_to
FROM {table} AS t INNER JOIN {changed} AS d ON {t_is_d} AND t.valid_from = d.old_from
WHERE d.old_from < {start} AND d.has_rest
"""

_JOIN_NEIGHBOURS = """
WITH gone AS (
    DELETE FROM {table} AS n USING {result} AS r, {changed} AS d, {table} AS t
    WHERE
        {d_is_r} AND {n_is_r} AND {t_is_r} AND n.valid_from = {end} AND t.valid_to = {start}
        AND {n_same_r} AND {t_same_r}
    RETURNING {table_key}, n.valid_to
), joined AS (
    UPDATE {table} AS t SET valid_to = gone.valid_to FROM gone WHERE {t_is_gone} AND t.valid_to = {start}
    RETURNING 1
)
SELECT 1 FROM gone UNION ALL SELECT 1 FROM joined
"""

_EXTEND_EARLIER = """
UPDATE {table} AS t SET valid_to = {end} FROM {result} AS r, {changed} AS d
WHERE {d_is_r} AND {t_is_r} AND t.valid_to = {start} AND {t_same_r}
"""

# The row takes the values of its new first snapshot, which may have another stored form: 1.0 instead of 1.00.
_EXTEND_LATER = """
UPDATE {table} AS t SET valid_from = {start}, {assignments} FROM {result} AS r, {changed} AS d
WHERE {d_is_r} AND {t_is_r} AND t.valid_from = {end} AND {t_same_r}
"""

_INSERT = """
INSERT INTO {table} ({columns}, valid_from, valid_to)
SELECT {result_columns}, {start}, {end}
FROM {result} AS r INNER JOIN {changed} AS d ON {d_is_r}
WHERE
    NOT EXISTS (
        SELECT FROM {table} AS t
        WHERE {t_is_r} AND t.valid_from <= {start} AND (t.valid_to IS NULL OR t.valid_to > {start})
    )
"""


def _select_changes(connection: Connection, history: _History) -> None:
    """Select the keys whose row from the snapshot to the next one changes, each with its old row."""
    table, snapshot = history.table, history.snapshot
    connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(history.changed))
    connection.execute(history.statement(_CHANGES))
    connection.execute(sql.SQL("ANALYZE {}").format(history.changed))
    counts = sql.SQL(
        "SELECT count(*) FILTER (WHERE is_unknown), count(old_from), EXISTS (SELECT FROM {}) FROM {}"
    ).format(history.result, history.changed)
    unknown, ended, has_rows = connection.execute(counts).fetchone() or (0, 0, True)
    if unknown:
        raise SqlFileError(
            f"{table.name}: expected no change between the snapshot of {_shown(snapshot.start)} and the next snapshot"
            f" in ledger.builds, {_shown(snapshot.end)}, found {unknown:,} rows that begin or end there. Rows were"
            " written outside of Tally, or their builds are missing in the ledger; restore the table and the ledger"
            " from the same backup, or empty the table, delete its entries in ledger.builds and run a backfill"
        )
    if ended and not has_rows and not (snapshot.may_be_empty or snapshot.is_withdrawn):
        raise ShrinkError(
            f"{table.address('query.sql')}: expected rows in the snapshot of {_shown(snapshot.start)}, found none: it"
            f" would end all {ended:,} valid rows of {table.name}. Ask the supplier whether the object is complete; if"
            " it is, run with force, or set Volume(min_rows=0) in the contract"
        )


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def history_errors(connection: Connection, table: SqlTable, columns: Sequence[str]) -> Iterator[str]:
    """Describe what a history lacks: its columns, their types or its unique key."""
    if taken := {VALID_FROM, VALID_TO}.intersection(columns):
        yield f"the query returns {', '.join(sorted(taken))}, which the build computes; remove it from the query"
    found = _column_types(connection, table)
    types = (found.get(VALID_FROM), found.get(VALID_TO))
    if types not in {("date", "date"), ("timestamp with time zone", "timestamp with time zone")}:
        yield (
            f"expected {VALID_FROM} and {VALID_TO} in {table.name}, both date or both timestamptz, found"
            f" {types[0] or 'no column'} and {types[1] or 'no column'}"
        )
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_index AS i WHERE indrelid = to_regclass(%s) AND indisunique AND indpred IS NULL"
        " AND (SELECT array_agg(attname::text ORDER BY attname::text) FROM pg_attribute"
        " WHERE attrelid = indrelid AND attnum = ANY(indkey)) = %s)",
        [table_name(table.name).as_string(), sorted(table.key)],
    ).fetchone()
    if row != (True,):
        yield f"expected a unique constraint of {table.name} on ({', '.join(table.key)}), found none; add it"


def _column_types(connection: Connection, table: SqlTable) -> dict[str, str]:
    rows = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [table_name(table.name).as_string()],
    )
    return {str(name): str(type_) for name, type_ in rows}
