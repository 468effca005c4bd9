"""Origins: the lines of objects that some rows derive from, through any number of tables."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from psycopg import sql

from tasks.contracts import LINE_NUMBER, LOAD_ID
from tasks.engine.build.sql_files import ROOT, sql_table
from tasks.engine.explain.traces import trace_of
from tasks.engine.schema.catalog import columns_of
from tasks.engine.warehouse.tables import Connection

SHOWN_LOADS, SHOWN_LINES = 20, 10
"""Maximum number of loads of an explanation, and of line numbers of each load."""


@dataclass(frozen=True)
class Rejection:
    """The rejected rows of a load with the same reason."""

    column_name: str | None
    reason: str
    row_count: int
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Origin:
    """The rows of one load that a row derives from.

    Attributes:
        table: Table with the rows.
        load_id: The load.
        row_count: Number of these rows.
        lines: The first line numbers. Empty if the rows were loaded before the table kept line numbers.
        unnumbered: Number of these rows without a line number.
        dataset: Dataset of the load.
        partition: Partition of the load.
        status: Status of the load.
        source_uri: The object.
        source_version: The version of the object.
        loaded_at: When the object was loaded.
        flow_run_id: Flow run of the load.
        replay_of: Load whose rejected rows the load replayed.
        rejected: Rejected rows of the same object version.
    """

    table: str
    load_id: int
    row_count: int
    lines: tuple[int, ...]
    unnumbered: int
    dataset: str
    partition: str
    status: str
    source_uri: str
    source_version: str
    loaded_at: datetime | None
    flow_run_id: str | None
    replay_of: int | None
    rejected: tuple[Rejection, ...] = ()


@dataclass
class Origins:
    """Everything that some rows derive from.

    Attributes:
        row_count: Number of rows with a load, in all tables.
        load_count: Number of their loads.
        shown: The first loads.
        through: Tables between the row and its loads, in the order of the search.
        computed: Why rows may derive from no row of a table.
    """

    row_count: int = 0
    load_count: int = 0
    shown: list[Origin] = field(default_factory=list)
    through: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)


def origins_of(
    connection: Connection, table: str, rows: sql.Composed, staged: Collection[str], root: Path = ROOT
) -> Origins:
    """Find the loads and the lines that some rows of a table derive from.

    Args:
        connection: In a transaction.
        table: The table.
        rows: Query of the rows, with `tableoid` and `ctid` before the columns of the table.
        staged: Names of the staging tables.
        root: Folder of the SQL.

    Raises:
        SqlFileError: A table cannot be explained.
    """
    found = Origins()
    ends: dict[str, list[sql.Composed]] = {}
    for name, query in _walk(connection, table, rows, staged, root, found):
        ends.setdefault(name, []).append(query)
    for name, queries in ends.items():
        _summarize(connection, name, _union(queries), found)
    return found


def _walk(
    connection: Connection, table: str, rows: sql.Composed, staged: Collection[str], root: Path, found: Origins
) -> Iterator[tuple[str, sql.Composed]]:
    """Yield the tables whose rows name their load, each with the query of the loads and lines of the rows."""
    columns = columns_of(connection, table)
    if _is_last(connection, table, staged):
        line = sql.SQL("r.line_number" if LINE_NUMBER in columns else "NULL::bigint")
        select = sql.SQL("SELECT r.tableoid, r.ctid, r.load_id, {} AS line_number FROM (\n{}\n) AS r")
        yield table, select.format(line, rows)
        return
    if table not in found.through:
        found.through.append(table)
    folder = sql_table(table, root)
    if not folder.is_built:
        found.computed.append(f"{table} is a table that Tally does not build, so its rows have no known origin.")
        return
    trace = trace_of(connection, folder)
    if trace.computed and trace.computed not in found.computed:
        found.computed.append(trace.computed)
    for step in trace.steps:
        query = step.rows(rows, is_last=_is_last(connection, step.source, staged))
        yield from _walk(connection, step.source, query, staged, root, found)


def _is_last(connection: Connection, table: str, staged: Collection[str]) -> bool:
    """Return whether the rows of a table name their load and their line, so that the search ends there."""
    return table in staged or {LOAD_ID, LINE_NUMBER} <= columns_of(connection, table).keys()


def _union(queries: list[sql.Composed]) -> sql.Composed:
    """Return the query of the load and the line of each row of some queries, each row once."""
    return sql.SQL("\nUNION\n").join(queries)


def _summarize(connection: Connection, table: str, lines: sql.Composed, found: Origins) -> None:
    loads = connection.execute(
        sql.SQL(
            "WITH lines AS MATERIALIZED ({}), counted AS (SELECT load_id, count(*) AS row_count, count(*) FILTER (WHERE"
            " line_number IS NULL) AS unnumbered FROM lines GROUP BY load_id)"
            " SELECT c.load_id, c.row_count, ARRAY(SELECT line_number FROM lines l WHERE l.load_id = c.load_id"
            " AND line_number IS NOT NULL ORDER BY 1 LIMIT {}), c.unnumbered,"
            " coalesce(l.dataset, ''), coalesce(l.partition, ''), coalesce(l.status, 'unknown'),"
            " coalesce(l.source_uri, ''), coalesce(l.source_version, ''), l.loaded_at, l.flow_run_id::text,"
            " l.replay_of, count(*) OVER (), sum(c.row_count) OVER ()"
            " FROM counted c LEFT JOIN ledger.loads l ON l.load_id = c.load_id ORDER BY c.load_id LIMIT {}"
        ).format(lines, sql.Literal(SHOWN_LINES), sql.Literal(SHOWN_LOADS))
    ).fetchall()
    for load_id, count, numbers, *rest, load_count, row_count in loads:
        origin = Origin(table, load_id, count, tuple(numbers), *rest)
        rejected = rejections_of(connection, origin.replay_of or load_id)
        found.shown.append(replace(origin, rejected=rejected))
        if load_id == loads[0][0]:
            found.load_count += int(load_count)
            found.row_count += int(row_count)


def rejections_of(connection: Connection, load_id: int, line: int | None = None) -> tuple[Rejection, ...]:
    """Return the rejected rows of a load, or of one line, by reason and without their bytes."""
    rows = connection.execute(
        "SELECT column_name, reason, count(*), (array_agg(line_number ORDER BY line_number))[:%s]"
        " FROM ledger.rejected_rows WHERE load_id = %s AND resolved_by IS NULL"
        " AND (%s::bigint IS NULL OR line_number = %s)"
        " GROUP BY 1, 2 ORDER BY 3 DESC, 2 LIMIT %s",
        [SHOWN_LINES, load_id, line, line, SHOWN_LOADS],
    )
    return tuple(Rejection(name, reason, count, tuple(lines)) for name, reason, count, lines in rows)
