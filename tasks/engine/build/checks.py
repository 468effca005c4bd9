"""Checks of built tables: SELECTs of the rows that break a rule.

Several checks of a schema may begin with the same named query, such as the number of staged rows of the month. If that
query is large, the build runs it once and keeps its result in a temporary table for all of these checks.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import CheckError, errors_at
from tasks.engine.masking import example_of
from tasks.engine.receipts import CheckResult
from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection

EXAMPLES = 5

LARGE_COST = 10_000
"""The cost of a query, as Postgres plans it, from which a temporary table is cheaper than a second run: a scan of about
300,000 rows."""

_RESULT = "SELECT * FROM pg_temp.{}"

_CHECK = re.compile(r"^-- (fail|warn): *(.+)$", re.MULTILINE)

_TOKEN = re.compile(
    r"""--[^\n]*|\s+|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|\w+|.""", re.DOTALL
)


def run_checks(
    connection: Connection, table: SqlTable, parameters: Mapping[str, Any], shared: Mapping[str, str] | None = None
) -> list[CheckResult]:
    """Run a table's checks, which are SELECTs of the rows that break a rule. Returns the checks that found rows.

    Args:
        connection: In the transaction of the build.
        table: The table.
        parameters: Values of the queries' parameters.
        shared: Temporary tables with results of queries, by the text of the query, from `shared_results`.
    """
    broken = []
    for severity, name, body in _checks(table):
        query = sql.SQL("SELECT count(*) OVER (), b.* FROM (\n{}\n) AS b LIMIT {}").format(
            sql.SQL(_with_results(body, shared or {})), sql.Literal(EXAMPLES)
        )
        with errors_at(f"{table.address('checks.sql')}: {name}"):
            found = connection.execute(query, parameters)
            names = [column.name for column in found.description or ()][1:]
            rows = found.fetchall()
        if rows:
            examples = tuple(example_of(names, row[1:], table.harmless_columns) for row in rows)
            broken.append(CheckResult(table.name, name, "fail" if severity == "fail" else "warn", rows[0][0], examples))
    return broken


def refuse_failed(results: Iterable[CheckResult]) -> None:
    """Stop a build if a check marked `fail` found rows.

    Raises:
        CheckError: A check found rows.
    """
    failed = [result for result in results if result.severity == "fail"]
    if failed:
        lines = [f"  {r.table}: {r.name}: {r.broken_count:,} rows, e.g. {'; '.join(r.examples)}" for r in failed]
        raise CheckError("checks failed, the tables did not change:\n" + "\n".join(lines))


def _checks(table: SqlTable) -> Iterator[tuple[str, str, str]]:
    """The severity, name and SELECT of each check of a table."""
    parts = _CHECK.split(table.text("checks.sql"))[1:]
    for severity, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        yield severity, name, body.strip().removesuffix(";")


def shared_results(connection: Connection, tables: Iterable[SqlTable], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Run each large query that several checks name in their WITH, once, into a temporary table.

    The call comes after the last write of the build, so the result is the same for every check. A query that cannot
    fill a temporary table runs in each of its checks.

    Args:
        connection: In the transaction of the build.
        tables: The tables that the build has written.
        parameters: Values of the queries' parameters.

    Returns:
        Names of the temporary tables, by the text of the query. The tables end with the transaction.
    """
    bodies = [body for table in tables for _, _, body in _checks(table)]
    counts = Counter(body[start:end] for body in bodies for start, end in named_queries(body))
    shared: dict[str, str] = {}
    for text, count in counts.items():
        name = f"checked_{len(shared) + 1}"
        if count > 1 and _is_filled(connection, name, sql.SQL(text), parameters):
            shared[text] = name
    return shared


def _is_filled(connection: Connection, name: str, query: sql.SQL, parameters: Mapping[str, Any]) -> bool:
    """Create a temporary table with the result of a query, if the query is large and Postgres accepts the table."""
    table = sql.Identifier(name)
    try:
        with connection.transaction():  # a savepoint: after an error, the check runs the query and names the error
            if plan_of(connection, query, parameters).cost < LARGE_COST:
                return False
            connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(table))  # of an earlier build
            create = sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS\n{}").format(table, query)
            connection.execute(create, parameters)
    except (psycopg.ProgrammingError, psycopg.DataError):
        return False
    return True


def _with_results(body: str, shared: Mapping[str, str]) -> str:
    """The SELECT of a check, in which each shared query reads its temporary table instead."""
    for start, end in reversed(named_queries(body)):
        if name := shared.get(body[start:end]):
            body = body[:start] + _RESULT.format(name) + body[end:]
    return body


def named_queries(select: str) -> list[tuple[int, int]]:
    """Where the queries in the WITH of a SELECT begin and end, without those that read another one of them.

    The result is empty if the SELECT begins otherwise than with `WITH name AS (`.
    """
    tokens = [
        (match[0], match.start(), match.end())
        for match in _TOKEN.finditer(select)
        if not match[0].isspace() and not match[0].startswith("--")
    ]
    words = [text.lower() for text, _, _ in tokens]
    found: dict[str, tuple[int, int]] = {}
    place = 1
    while (place == 1 or words[place - 1] == ",") and words[place + 1 : place + 3] == ["as", "("]:
        last = _closing(words, place + 2)
        if last == len(words):
            return []
        found[words[place].strip('"')] = tokens[place + 2][2], tokens[last][1]
        place = last + 2
    if words[:1] != ["with"] or "/*" in select:
        return []
    return [
        (start, end)
        for start, end in found.values()
        if found.keys().isdisjoint(re.findall(r"\w+", select[start:end].lower()))
    ]


def _closing(words: list[str], opening: int) -> int:
    """Place of the bracket that closes another one; the number of words if none does."""
    depth = 0
    for place in range(opening, len(words)):
        depth += (words[place] == "(") - (words[place] == ")")
        if not depth:
            return place
    return len(words)
