"""The marts of events equal those of the plain queries, which normalise every event before they group."""

from collections.abc import Iterator
from datetime import date
from itertools import cycle, islice, product

import pytest
from psycopg import sql
from pydantic import SecretStr

from tasks.contracts.events import EVENTS
from tasks.engine.build.builder import build_tables
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.partitions import ensure_partition
from tasks.engine.warehouse.tables import Connection, connect

MONTH = date(2021, 4, 1)
BLANKS = (
    "' \t\n\r\f' || chr(11) || chr(133) || chr(160) || chr(5760)"
    " || (SELECT string_agg(chr(n), '') FROM generate_series(8192, 8202) AS n)"
    " || chr(8232) || chr(8233) || chr(8239) || chr(8287) || chr(12288)"
)
PLAIN = {
    "country": ("coalesce(nullif(country, ''), 'unknown')", ""),
    "company": ("company", ""),
    "date": ("event_date", ""),
    "user": (f"coalesce(nullif(btrim(lower(email), {BLANKS}), ''), 'unknown')", ""),
    "tag": ("coalesce(nullif(tags.tag, ''), 'unknown')", "LEFT JOIN LATERAL unnest(tags) AS tags (tag) ON true"),
}
"""The value by which the plain query of each mart groups, and its join."""

EMAILS = [
    None,
    "",
    " ",
    "\t\u00a0\u2003\u3000\r\n",
    "Anna@Example.com",
    " anna@example.com",
    "ANNA@EXAMPLE.COM\u2028",
    "\u200banna@example.com",  # a zero-width space is no blank
    "unknown",
    "Unknown ",
    "ÅSA@example.se",
    "åsa@example.se",
    "\u0130lker@example.com",
    "STRASSE@ß.de",
    "e\u0301@example.com",
    "\u00e9@example.com",
    "\\v@example.com",
    "v anna v",
    "a b@example.com",
    "x" * 3000,
]
COUNTRIES = [None, "", " ", "unknown", "Norway", "norway", "Norway ", "Côte d'Ivoire", "Co\u0302te d'Ivoire"]
TAGS = [
    None,
    [],
    [""],
    ["", ""],
    [None],
    ["a"],
    ["a", "a"],
    ["A", "a", ""],
    ["unknown"],
    ["b", None, "å"],
    [" ", "NULL", "{}"],
    [["c", "d"], ["e", "c"]],
]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "marts") as connection:
        apply_ddl(connection, [EVENTS], ["events_marts"])
        for month in (MONTH, date(2021, 5, 1)):
            ensure_partition(connection, EVENTS, month)
        yield connection


def deliver(connection: Connection) -> int:
    """Store every combination of the unusual values, and some neighbours in another month."""
    values = list(product(EMAILS, COUNTRIES, TAGS))
    dates = islice(cycle(date(2021, 4, day) for day in range(1, 31)), len(values))
    companies = islice(cycle(["acme", "unknown", "Acme", "ømega"]), len(values))
    statement = (
        "COPY events_staging.events (id, occurred_at, event_date, email, company, country, tags, month, load_id,"
        " line_number) FROM STDIN"
    )
    with connection.cursor().copy(statement) as copy:
        for number, ((email, country, tags), day, company) in enumerate(zip(values, dates, companies, strict=True)):
            month = date(2021, 5, 1) if number % 10 == 0 else MONTH
            own = (f"{number:032x}", day, day, email, company, country, tags, month, 1, number)
            copy.write_row(own)
    return len(values)


def marts(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    for name in PLAIN:
        query = sql.SQL('SELECT * FROM {} AS t WHERE month = %s ORDER BY t::text COLLATE "C"')
        table = sql.Identifier("events_marts", f"event_counts_by_{name}")
        found[name] = connection.execute(query.format(table), [MONTH]).fetchall()
    return found


def plain(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: connection.execute(
            f"SELECT * FROM (SELECT month, {value} AS value, count(*) FROM events_staging.events {join}"
            ' WHERE month = %s GROUP BY 1, 2) AS t ORDER BY t::text COLLATE "C"',
            [MONTH],
        ).fetchall()
        for name, (value, join) in PLAIN.items()
    }


@pytest.mark.parametrize("is_parallel", [False, True])
def test_marts_equal_the_plain_queries(connection: Connection, *, is_parallel: bool) -> None:
    assert deliver(connection) == 2160
    if is_parallel:
        connection.execute(
            "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0"
        )
    expected = plain(connection)
    receipts = build_tables(connection, "events_marts", {"month": MONTH}, partition="2021-04", contracts=[EVENTS])
    assert {receipt.status for receipt in receipts} == {"built"}
    assert marts(connection) == expected
    assert len(expected["user"]) > 10
    build_tables(connection, "events_marts", {"month": MONTH}, partition="2021-04", contracts=[EVENTS], force=True)
    assert marts(connection) == expected
