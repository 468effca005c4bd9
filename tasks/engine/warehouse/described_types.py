"""The types of a query's columns, as Postgres describes them without running the query."""

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg import sql
from psycopg.pq.abc import PGresult

from tasks.engine.warehouse.tables import Connection

FIRST_OWN_OID = 16384
"""Types with smaller ids come with Postgres, and their names never change."""

_BUILT_IN: dict[tuple[int, int], str] = {}


def described_columns(
    connection: Connection, query: sql.Composable, parameters: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """Name and type of each column of a query, in order; a type as `format_type` prints it.

    Postgres describes a literal without a type as text, and a column of a domain as the domain's base type.
    """
    statement = sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(query)
    described = connection.execute(statement, parameters)
    names = [column.name for column in described.description or ()]
    return list(zip(names, _formatted(connection, described.pgresult), strict=True))


def type_names(connection: Connection, types: Iterable[str]) -> dict[str, str]:
    """How Postgres prints each of some types: `timestamp with time zone` for `timestamptz`."""
    wanted = list(dict.fromkeys(types))
    if not wanted:
        return {}
    nulls = sql.SQL(", ").join(sql.SQL(f"NULL::{type_}") for type_ in wanted)
    result = connection.execute(sql.SQL("SELECT {} LIMIT 0").format(nulls)).pgresult
    return dict(zip(wanted, _formatted(connection, result), strict=True))


def _formatted(connection: Connection, result: PGresult | None) -> list[str]:
    places = range(result.nfields) if result else ()
    pairs = [(result.ftype(place), result.fmod(place)) for place in places] if result else []
    names = {pair: _BUILT_IN[pair] for pair in pairs if pair in _BUILT_IN}
    if unknown := list(dict.fromkeys(pair for pair in pairs if pair not in names)):
        row = connection.execute(
            "SELECT array_agg(format_type(t.oid, t.typmod) ORDER BY t.place)"
            " FROM unnest(%s::oid[], %s::integer[]) WITH ORDINALITY AS t (oid, typmod, place)",
            [[oid for oid, _ in unknown], [typmod for _, typmod in unknown]],
        ).fetchone()
        names |= zip(unknown, row[0] if row else (), strict=True)
        _BUILT_IN.update((pair, name) for pair, name in names.items() if pair[0] < FIRST_OWN_OID)
    return [names[pair] for pair in pairs]
