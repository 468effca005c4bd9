"""Named queries that several SELECTs of a build share: the build runs each of them once.

The checks of a schema, or the selections of affected keys, may begin with the same named query in their WITH. If that
query is large, the build runs it once and keeps its result in a temporary table for all of these SELECTs.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql

from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection

LARGE_COST = 2_000
"""The cost of a query, as Postgres plans it, from which a temporary table is cheaper than a second run: a scan of about
60,000 rows."""

_RESULT = "SELECT * FROM pg_temp.{}"

_TOKEN = re.compile(
    r"""--[^\n]*|\s+|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|\w+|.""", re.DOTALL
)


def shared_results(
    connection: Connection, kind: str, selects: Collection[str], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Run each large named query that several SELECTs share once, and keep its result in a temporary table.

    No write comes between the call and the SELECTs, so the result is the same for each of them. A query that cannot
    fill a temporary table runs in each of its SELECTs.

    Args:
        connection: In the transaction of the build.
        kind: Beginning of the names of the temporary tables.
        selects: The SELECTs.
        parameters: Values of the queries' parameters.

    Returns:
        Names of the temporary tables, by the text of the query. The tables end with the transaction.
    """
    counts = Counter(select[start:end] for select in selects for start, end in named_query_positions(select))
    shared: dict[str, str] = {}
    for text, count in counts.items():
        name = f"{kind}_{len(shared) + 1}"
        if count > 1 and _try_fill(connection, name, sql.SQL(text), parameters):
            shared[text] = name
    return shared


def _try_fill(connection: Connection, name: str, query: sql.SQL, parameters: Mapping[str, Any]) -> bool:
    """Fill a temporary table with the result of a query, if it is large. Returns whether the table holds the result."""
    table = sql.Identifier(name)
    try:
        with connection.transaction():  # a savepoint: after an error, the SELECT runs the query and names the error
            if plan_of(connection, query, parameters).cost < LARGE_COST:
                return False
            connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(table))  # of an earlier build
            create = sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS\n{}").format(table, query)
            connection.execute(create, parameters)
    except (psycopg.ProgrammingError, psycopg.DataError):
        return False
    return True


def with_results(body: str, shared: Mapping[str, str]) -> str:
    """Return a SELECT in which each shared query reads its temporary table."""
    for start, end in reversed(named_query_positions(body)):
        if name := shared.get(body[start:end]):
            body = body[:start] + _RESULT.format(name) + body[end:]
    return body


@lru_cache(maxsize=200)
def named_query_positions(select: str) -> tuple[tuple[int, int], ...]:
    """Return the start and the end of each query in the WITH of a SELECT.

    The result leaves out a query that names another query of the WITH, because it cannot run alone. The result is empty
    if the SELECT does not begin with `WITH name AS (` or contains a `/*`.
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
            return ()
        found[words[place].strip('"')] = tokens[place + 2][2], tokens[last][1]
        place = last + 2
    if words[:1] != ["with"] or "/*" in select:
        return ()
    return tuple(
        (start, end)
        for start, end in found.values()
        if found.keys().isdisjoint(re.findall(r"\w+", select[start:end].lower()))
    )


def _closing(words: list[str], opening: int) -> int:
    """Place of the bracket that closes an opening bracket; the number of words if no bracket closes it."""
    depth = 0
    for place in range(opening, len(words)):
        depth += (words[place] == "(") - (words[place] == ")")
        if not depth:
            return place
    return len(words)
