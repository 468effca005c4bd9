"""Traces: from a row of a built table to the rows of other tables from which it derives.

`trace.sql` holds one SELECT for each table, under a line `-- from: schema.table`. The SELECT returns `tableoid`, `ctid`
and the whole row, as `source_row`, of that table. Its parameters are the columns of the explained row. A line
`-- computed: sentence` says that rows may also derive from no row of a table, and why.

A table without a `trace.sql` has one source, and its query takes each key column unchanged from that source. Postgres
confirms this: it reports from which column of which table a column of a query comes. The trace is then the rows of
the source with the same values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from tasks.contracts import LINE_NUMBER
from tasks.engine.build.dispositions import empty_affected_keys
from tasks.engine.build.sql_files import ROOT, TRACE, SqlTable, sql_table
from tasks.engine.errors import SqlFileError, errors_at
from tasks.engine.warehouse.tables import Connection, table_name

_SECTION = re.compile(r"^-- (from|computed): *(.+)$", re.MULTILINE)
_PARAMETER = re.compile(r"%\((\w+)\)s")
_PLACEHOLDERS = re.compile(r"%\(\w+\)s")


@dataclass(frozen=True)
class Step:
    """The rows of one table that a row derives from.

    Attributes:
        source: The table.
        select: SELECT of its rows, with the columns of the derived row as parameters.
    """

    source: str
    select: str

    def rows(self, derived: sql.Composable, *, is_last: bool) -> sql.Composed:
        """Return a query that selects the rows of the source from which the rows of another query derive.

        Args:
            derived: Query of the derived rows.
            is_last: Whether the search ends at the source. Then a row may occur several times.
        """
        parts: list[sql.Composable] = []
        place = 0
        for match in _PARAMETER.finditer(self.select):
            parts += [sql.SQL(self.select[place : match.start()]), sql.Identifier("derived", match[1])]
            place = match.end()
        body = sql.Composed([*parts, sql.SQL(self.select[place:])])
        each = sql.SQL("" if is_last else "DISTINCT ON (found.tableoid, found.ctid) ")
        return sql.SQL(
            "SELECT once.tableoid, once.ctid, (once.source_row).* FROM (SELECT {}found.* FROM (\n{}\n) AS derived"
            " CROSS JOIN LATERAL (\n{}\n) AS found) AS once"
        ).format(each, derived, body)


@dataclass(frozen=True)
class Trace:
    """What a row of a table derives from.

    Attributes:
        steps: The tables with the rows that it derives from.
        computed: Why rows may derive from no row of a table; empty if every row derives from one.
    """

    steps: tuple[Step, ...]
    computed: str = ""


def written_trace(table: SqlTable) -> Trace | None:
    """Return the trace in `trace.sql`, or None if the table has no such file."""
    parts = _SECTION.split(table.text(TRACE))[1:]
    if not parts:
        return None
    steps, computed = [], []
    for kind, value, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if kind == "from":
            steps.append(Step(value.strip(), body.strip().removesuffix(";").replace("%%", "%")))
        else:
            computed.append(" ".join([value, *(line.removeprefix("--").strip() for line in body.strip().splitlines())]))
    return Trace(tuple(steps), " ".join(computed))


def trace_errors(table: SqlTable, root: Path = ROOT) -> Iterator[str]:
    """Describe why the rows of a built table cannot be explained, as far as the files show it."""
    if re.search(rf"\b{LINE_NUMBER}\b", table.text("table.sql")):
        return  # the rows name their load and their line themselves
    trace = written_trace(table)
    if trace is None and table.text(TRACE):
        yield f"{table.address(TRACE)}: expected `-- from: schema.table` or `-- computed: reason` in the first line"
    elif trace is None:
        sources = [sql_table(name, root) for name in table.reads]
        if table.is_built and table.disposition.kind == "history":
            yield (
                f"{table.address(TRACE)}: expected this file, found none: a row of a history derives from the rows of"
                " every snapshot from valid_from to valid_to"
            )
            return
        if len(sources) != 1 or any(source.text("table.sql") and not source.is_built for source in sources):
            yield (
                f"{table.address(TRACE)}: expected this file, found none: the table reads {', '.join(table.reads)}, so"
                " the key of a row does not identify the rows from which the row derives"
            )
    else:
        for step in trace.steps:
            if not re.match(r"SELECT\s+(\w+)\.tableoid,\s+\1\.ctid,\s+\1 AS source_row\s", step.select):
                yield f"{table.address(TRACE)}: expected SELECT x.tableoid, x.ctid, x AS source_row for {step.source}"
        if not table.text(TRACE).startswith("-- "):
            yield f"{table.address(TRACE)}: expected `-- from: schema.table` in the first line"


def trace_of(connection: Connection, table: SqlTable) -> Trace:
    """Return the trace of a built table, from its `trace.sql` or from its key.

    Raises:
        SqlFileError: The table has no `trace.sql`, and its key alone does not identify the rows of the source.
    """
    if trace := written_trace(table):
        return trace
    if problems := list(trace_errors(table)):
        raise SqlFileError(problems[0])
    (source,) = table.reads
    taken = _taken_columns(connection, table, source)
    if missing := [name for name in table.key if name not in taken]:
        raise SqlFileError(
            f"{table.address(TRACE)}: expected this file, found none: query.sql computes {', '.join(missing)} instead"
            f" of taking it from {source}, so the key of a row does not identify the rows from which the row derives"
        )
    select = sql.SQL("SELECT source.tableoid, source.ctid, source AS source_row FROM {} AS source WHERE {}").format(
        table_name(source),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("source", taken[name]), sql.Placeholder(name))
            for name in table.key
        ),
    )
    return Trace((Step(source, select.as_string()),))


def _taken_columns(connection: Connection, table: SqlTable, source: str) -> dict[str, str]:
    """Return the columns that a query takes unchanged from a table: names in the table, by names in the query."""
    # Without a value for its parameters the query still has the same columns.
    query = sql.SQL(_PLACEHOLDERS.sub("NULL", table.query.as_string()).replace("%%", "%"))
    with errors_at(table.address("query.sql")), connection.transaction(force_rollback=True):
        empty_affected_keys(connection, table)
        result = connection.execute(sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(query)).pgresult
        names = {
            (int(oid), int(number)): str(name)
            for oid, number, name in connection.execute(
                "SELECT attrelid, attnum, attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0",
                [table_name(source).as_string()],
            )
        }
    taken: dict[str, str] = {}
    for place in range(result.nfields if result else 0):
        origin = (result.ftable(place), result.ftablecol(place)) if result else (0, 0)
        if origin in names and result:
            taken[(result.fname(place) or b"").decode()] = names[origin]
    return taken
