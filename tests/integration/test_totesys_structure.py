"""Snapshots of a source whose structure changes: rows that no transaction wrote may be new or different."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Json
from totesys_extracts import BY_NAME, Copies, changed, extract, rows_in, snapshot

from deployments.samples.totesys import create_source, fill_source
from tasks.engine.errors import SourceError
from tasks.engine.sync.source import Watermark

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

Owner = psycopg.Connection[Any]


@pytest.fixture
def owner(totesys_source: "TotesysSource") -> Iterator[Owner]:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as connection:
        fill_source(connection, sales_orders=5)
        yield connection


def run(owner: Owner, source: "TotesysSource", *statements: str) -> None:
    """Execute statements of the owner; the reader may then read all tables."""
    for statement in statements:
        owner.execute(statement.encode())
    user = psycopg.conninfo.conninfo_to_dict(source.reader_dsn)["user"]
    owner.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(str(user))))


PARTITIONED = (
    "ALTER TABLE payment RENAME TO payments_2022",
    "CREATE TABLE payment (LIKE payments_2022) PARTITION BY RANGE (payment_id)",
    "ALTER TABLE payment ATTACH PARTITION payments_2022 FOR VALUES FROM (1) TO (100)",
)
OLDER = (
    "CREATE TABLE older (LIKE payment)",
    "INSERT INTO older SELECT * FROM payment",
    "UPDATE older SET payment_amount = 7",
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (OLDER, ("ALTER TABLE payment RENAME TO p", "ALTER TABLE older RENAME TO payment"), {"payment": 4}),
        (
            (*PARTITIONED, *OLDER, "UPDATE older SET payment_id = payment_id + 100"),
            ("ALTER TABLE payment ATTACH PARTITION older FOR VALUES FROM (100) TO (200)",),
            {"payment": 4},
        ),
        (
            (*OLDER, "UPDATE older SET payment_id = payment_id + 100"),
            ("ALTER TABLE older INHERIT payment",),
            {"payment": 4},
        ),
        ((), ("ALTER TABLE staff DROP email_address, ADD email_address varchar DEFAULT 'none'",), {"staff": 20}),
        (
            (),
            (
                "ALTER TABLE staff RENAME first_name TO x",
                "ALTER TABLE staff RENAME last_name TO first_name",
                "ALTER TABLE staff RENAME x TO last_name",
            ),
            {"staff": 20},
        ),
        (
            (
                "CREATE TYPE kind AS ENUM ('SALE', 'PURCHASE')",
                "ALTER TABLE transaction ALTER transaction_type TYPE kind USING transaction_type::kind",
            ),
            ("ALTER TYPE kind RENAME VALUE 'SALE' TO 'RETURN'",),
            {"transaction": 6},
        ),
        (
            ("ALTER TABLE staff ALTER first_name TYPE varchar(50)",),
            (
                "ALTER TABLE staff ADD shoe_size integer DEFAULT 42",
                "ALTER TABLE staff ALTER first_name TYPE varchar(90)",
            ),
            {},
        ),
        (PARTITIONED, ("ALTER TABLE payment DETACH PARTITION payments_2022",), {}),
    ],
    ids=["renamed", "attached", "inherited", "column-again", "columns-swapped", "label", "no-value", "detached"],
)
def test_rows_that_differ_without_a_write_are_extracted_once(
    totesys_source: "TotesysSource",
    owner: Owner,
    before: tuple[str, ...],
    after: tuple[str, ...],
    expected: dict[str, int],
) -> None:
    run(owner, totesys_source, *before)
    copies = Copies(totesys_source.reader_dsn)
    copies.extract()
    run(owner, totesys_source, "CREATE TABLE later ()", *after)
    found = copies.extract()
    assert {name: len(rows) for name, rows in found.items() if rows} == expected
    assert copies.tables == rows_in(totesys_source.owner_dsn)
    assert changed(copies.extract()) == {}


def test_table_that_joins_the_pipeline_is_extracted_completely(totesys_source: "TotesysSource", owner: Owner) -> None:
    del owner
    _, watermark = extract(totesys_source.reader_dsn, None)
    others = {name: structure for name, structure in watermark.tables.items() if name != "design"}
    with snapshot(totesys_source.reader_dsn) as opened:
        begin, reason = opened.usable(replace(watermark, tables=others))
        assert reason.endswith("and the rows of changed tables: design")
        assert opened.count_changed(BY_NAME["design"], begin) == 120
        assert opened.count_changed(BY_NAME["staff"], begin) == 0


def test_watermark_of_an_older_ledger_is_usable(totesys_source: "TotesysSource", owner: Owner) -> None:
    _, watermark = extract(totesys_source.reader_dsn, None)
    older = Watermark(watermark.source, watermark.newest, watermark.horizon)
    owner.execute("UPDATE staff SET first_name = 'X' WHERE staff_id = 4")
    found, _ = extract(totesys_source.reader_dsn, older)
    assert changed(found) == {"staff": [4]}


def test_watermark_is_the_same_after_it_was_stored(totesys_source: "TotesysSource", owner: Owner) -> None:
    _, watermark = extract(totesys_source.reader_dsn, None)
    row = owner.execute("SELECT %s::jsonb", [Json(asdict(watermark))]).fetchone()
    assert row
    assert Watermark(**row[0]) == watermark
    found, _ = extract(totesys_source.reader_dsn, Watermark(**row[0]))
    assert changed(found) == {}


@pytest.mark.parametrize("time", ["infinity", "10000-01-01", "9999-12-31"])
def test_time_far_in_the_future_does_not_hide_later_changes(
    totesys_source: "TotesysSource", owner: Owner, time: str
) -> None:
    owner.execute("UPDATE payment SET last_updated = %s WHERE payment_id = 1", [time])
    _, watermark = extract(totesys_source.reader_dsn, None)
    assert watermark.newest == "2022-11-03 14:25:49.962"
    found, _ = extract(totesys_source.reader_dsn, watermark)
    assert changed(found) == {}
    # As after a restore of an earlier disk: new transactions get ids that count as seen by the watermark.
    owner.execute("UPDATE payment SET last_updated = '2022-11-03 15:00' WHERE payment_id = 2")
    with snapshot(totesys_source.reader_dsn) as opened:
        seen = replace(watermark, horizon=str(int(opened.watermark.horizon) + 1))
        assert opened.count_changed(BY_NAME["payment"], seen) == 1


def test_keys_are_compared_only_with_the_tables_of_the_last_run_or_a_later_state(
    totesys_source: "TotesysSource", owner: Owner, database: str
) -> None:
    run(owner, totesys_source, *PARTITIONED)
    _, watermark = extract(totesys_source.reader_dsn, None)

    def refused(dsn: str, watermark: Watermark, words: str) -> None:
        with snapshot(dsn) as opened, pytest.raises(SourceError, match=f"{words}.* No row was marked as deleted"):
            opened.check_follows(watermark)

    with snapshot(totesys_source.reader_dsn) as opened:
        opened.check_follows(None)
        opened.check_follows(watermark)
    refused(
        totesys_source.reader_dsn, replace(watermark, next=str(int(watermark.next) + 99)), "the source was restored"
    )
    with psycopg.connect(database, autocommit=True) as other:
        create_source(other)
    refused(database, watermark, "the source is now database")
    run(owner, totesys_source, "ALTER TABLE payment DETACH PARTITION payments_2022")
    refused(totesys_source.reader_dsn, watermark, "other tables or partitions: payment")
    _, watermark = extract(totesys_source.reader_dsn, watermark)
    with snapshot(totesys_source.reader_dsn) as opened:
        opened.check_follows(watermark)
