"""Snapshots of an operational database: an extraction takes all changed rows."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from totesys_extracts import BY_NAME, Copies, Tables, changed, drawing, extract, rows_in, rows_of, snapshot

from deployments.samples.totesys import OPENED_AT, create_source, fill_source
from deployments.samples.totesys_changes import BLOCKED, PendingChanges, change_source
from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.engine.sync.source import OLDEST_HORIZON

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

DAY = OPENED_AT + timedelta(days=1)


@pytest.fixture
def filled(totesys_source: "TotesysSource") -> "TotesysSource":
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as connection:
        fill_source(connection, sales_orders=40)
    return totesys_source


@pytest.fixture
def owner(filled: "TotesysSource") -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(filled.owner_dsn, autocommit=True) as connection:
        yield connection


def test_first_extraction_takes_every_row_of_every_table(filled: "TotesysSource") -> None:
    found, watermark = extract(filled.reader_dsn, None)
    assert found == rows_in(filled.owner_dsn)
    assert {name: len(rows) for name, rows in found.items() if name in ("sales_order", "payment", "transaction")} == {
        "sales_order": 40,
        "payment": 40,
        "transaction": 50,
    }
    assert watermark.newest == "2022-11-03 15:00:49.962"


def test_every_table_of_the_source_is_extracted_but_that_of_its_migrations(filled: "TotesysSource") -> None:
    with psycopg.connect(filled.owner_dsn) as connection:
        names = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert names - set(BY_NAME) == {"_prisma_migrations"}


def test_csv_does_not_depend_on_settings_of_the_role_and_the_database(
    filled: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    def everything() -> list[bytes]:
        with snapshot(filled.reader_dsn) as opened:
            return [b"".join(opened.copy_changed(table, None)) for table in opened.tables]

    before = everything()
    assert before[0].startswith(b"counterparty_id,counterparty_legal_name,")
    assert b"\n1," in before[0]
    for name, value in (
        ("datestyle", "German"),
        ("timezone", "Asia/Tokyo"),
        ("search_path", "nowhere"),
        ("client_encoding", "LATIN1"),
    ):
        owner.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(owner.info.dbname), sql.Identifier(name), sql.Literal(value)
            )
        )
    owner.execute("CREATE TABLE moved AS TABLE sales_order ORDER BY random()")
    owner.execute("UPDATE payment SET paid = NOT paid WHERE payment_id % 2 = 0")
    owner.execute("UPDATE payment SET paid = NOT paid WHERE payment_id % 2 = 0")
    assert everything() == before


def test_nothing_is_extracted_where_nothing_changed(filled: "TotesysSource") -> None:
    _, first = extract(filled.reader_dsn, None)
    found, second = extract(filled.reader_dsn, first)
    assert changed(found) == {}
    assert (second.source, second.newest) == (first.source, first.newest)


def test_all_tables_are_as_of_one_moment(filled: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    with snapshot(filled.reader_dsn) as opened:
        before = rows_of(opened.copy_changed(BY_NAME["sales_order"], None))
        change_source(owner, drawing(1), 50, at=DAY)
        assert rows_of(opened.copy_changed(BY_NAME["sales_order"], None)) == before
        assert len(rows_of(opened.copy_keys(BY_NAME["transaction"]))) == 50
    found, _ = extract(filled.reader_dsn, None)
    assert len(found["transaction"]) > 50


def test_changed_rows_are_extracted_and_no_others(filled: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    before, watermark = extract(filled.reader_dsn, None)
    counts = change_source(owner, drawing(7), 100, at=DAY)
    assert counts.keys() >= {"update payment", "insert sales_order", "delete payment", "update staff"}
    found, after = extract(filled.reader_dsn, watermark)
    now = rows_in(filled.owner_dsn)
    assert found == {
        name: {key: row for key, row in rows.items() if before[name].get(key) != row} for name, rows in now.items()
    }
    assert after.newest > watermark.newest


def test_row_changed_without_its_time_is_extracted(filled: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    _, watermark = extract(filled.reader_dsn, None)
    owner.execute("UPDATE sales_order SET units_sold = 7 WHERE sales_order_id = 3")
    owner.execute("UPDATE staff SET first_name = 'X', last_updated = '1999-01-01' WHERE staff_id = 4")
    found, _ = extract(filled.reader_dsn, watermark)
    assert changed(found) == {"sales_order": [3], "staff": [4]}


EARLY = "INSERT INTO payment_type (payment_type_name, created_at, last_updated) VALUES ('late', '{0}', '{0}')".format(
    OPENED_AT + timedelta(seconds=1)
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((EARLY,), ()),
        (("SAVEPOINT s", EARLY, "RELEASE s"), ()),
        (("SAVEPOINT a", "SAVEPOINT b", EARLY), ("RELEASE b", "RELEASE a")),
        (("UPDATE staff SET first_name = 'X'", "SAVEPOINT s"), (EARLY, "RELEASE s")),
        (("UPDATE staff SET first_name = 'X'", "SAVEPOINT s", EARLY, "ROLLBACK TO s"), (EARLY,)),
        (("SELECT now()",), (EARLY,)),
        (("SELECT now()",), ("SAVEPOINT s", EARLY, "RELEASE s")),
    ],
    ids=["plain", "savepoint", "nested", "savepoint-after", "rolled-back-to", "no-id-yet", "no-id-yet-savepoint"],
)
def test_row_committed_late_with_an_earlier_time_is_extracted(
    filled: "TotesysSource", owner: psycopg.Connection[Any], before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    with psycopg.connect(filled.owner_dsn) as late:
        for statement in before:
            late.execute(statement.encode())
        change_source(owner, drawing(1), 20, at=DAY)  # later transactions, and a later time
        first, watermark = extract(filled.reader_dsn, None)
        assert len(first["payment_type"]) == 4
        change_source(owner, drawing(2), 20, at=DAY + timedelta(hours=1))
        for statement in after:
            late.execute(statement.encode())
        late.commit()
    found, _ = extract(filled.reader_dsn, watermark)
    (row,) = (row for key, row in found["payment_type"].items() if key > 4)
    assert row[1] == "late"
    assert row[-1] < watermark.newest


def test_transaction_that_outlasts_extractions_is_extracted_once_it_commits(
    filled: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    with (
        psycopg.connect(filled.owner_dsn) as long,
        PendingChanges(filled.owner_dsn, drawing(3), 5, at=OPENED_AT) as rolled_back,
    ):
        long.execute(EARLY.encode())
        assert rolled_back.counts.total()
        _, watermark = extract(filled.reader_dsn, None)
        for hour in range(3):
            change_source(owner, drawing(hour), 10, at=DAY + timedelta(hours=hour))
            found, watermark = extract(filled.reader_dsn, watermark)
            assert not [key for key in found["payment_type"] if key > 4]
        long.commit()
    found, watermark = extract(filled.reader_dsn, watermark)
    assert [row[1] for key, row in found["payment_type"].items() if key > 4] == ["late"]
    found, _ = extract(filled.reader_dsn, watermark)
    assert changed(found) == {}


@pytest.mark.parametrize("seed", range(2))
def test_copies_kept_by_extractions_equal_the_source_after_any_changes(
    totesys_source: "TotesysSource", seed: int
) -> None:
    rng, at, pending = drawing(seed), OPENED_AT, list[PendingChanges]()
    copies = Copies(totesys_source.reader_dsn)
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as owner, ExitStack() as opened:
        fill_source(owner, seed=seed, sales_orders=20)
        for _ in range(8):
            at += timedelta(minutes=rng.randint(1, 5))
            if rng.random() < 0.5:
                late = PendingChanges(totesys_source.owner_dsn, rng, 3, at=at - timedelta(hours=2))
                pending.append(opened.enter_context(late))
            change_source(owner, rng, rng.randint(0, 15), at=at, silent_share=0.2)
            if pending and rng.random() < 0.5:
                pending.pop(rng.randrange(len(pending))).commit()
            copies.extract()
            assert copies.tables == rows_in(totesys_source.owner_dsn)


def test_another_database_is_extracted_from_the_beginning(filled: "TotesysSource", database: str) -> None:
    found, watermark = extract(filled.reader_dsn, None)
    with psycopg.connect(database, autocommit=True) as connection:
        create_source(connection)
        fill_source(connection, sales_orders=10)
    with snapshot(database) as opened:
        begin, reason = opened.usable(watermark)
        assert begin is None
        assert "the source is now database" in reason
        assert watermark.source in reason
    elsewhere, _ = extract(database, watermark)
    assert len(elsewhere["sales_order"]) == 10
    assert len(found["sales_order"]) == 40


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(1000, "the source was restored"), (-OLDEST_HORIZON - 1000, "transactions since the last extraction")],
)
def test_unusable_watermark_causes_a_full_extraction(filled: "TotesysSource", offset: int, reason: str) -> None:
    _, watermark = extract(filled.reader_dsn, None)
    with snapshot(filled.reader_dsn) as opened:
        assert opened.usable(watermark)[0] == watermark
        begin, why = opened.usable(replace(watermark, horizon=str(int(watermark.horizon) + offset)))
        assert begin is None
        assert reason in why
        assert opened.usable(None) == (None, "all rows: this is the first extraction")


def test_time_detects_changes_after_transactions_were_renumbered(filled: "TotesysSource") -> None:
    """As after a restore of an earlier disk: new transactions get ids that count as seen by the watermark."""
    with snapshot(filled.reader_dsn) as opened:
        seen = replace(
            opened.watermark, newest="2022-11-03 14:59:49.962", horizon=str(int(opened.watermark.horizon) + 50)
        )
        assert rows_of(opened.copy_changed(BY_NAME["sales_order"], seen)) == [
            list(rows_in(filled.owner_dsn)["sales_order"][40])
        ]


def test_empty_source_has_a_watermark(totesys_source: "TotesysSource") -> None:
    found, watermark = extract(totesys_source.reader_dsn, None)
    assert changed(found) == {}
    assert watermark.newest == ""
    with psycopg.connect(totesys_source.owner_dsn) as connection:
        connection.execute("INSERT INTO currency (currency_code) VALUES ('GBP')")
    found, _ = extract(totesys_source.reader_dsn, watermark)
    assert changed(found) == {"currency": [1]}


def test_structure_cannot_change_under_a_snapshot(filled: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    owner.execute("SET lock_timeout = '100ms'")
    with snapshot(filled.reader_dsn) as opened:
        for statement in ("TRUNCATE payment", "ALTER TABLE payment ALTER payment_amount TYPE numeric(12, 3)"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                owner.execute(statement.encode())
        change_source(owner, drawing(1), 5, at=DAY)
        assert opened.count_changed(BY_NAME["payment"], None) == 40


def test_changes_skip_rows_that_an_open_transaction_locks(
    filled: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(filled.owner_dsn) as other:
        other.execute("SELECT FROM payment FOR UPDATE")
        before = rows_in(filled.owner_dsn)["payment"]
        counts = change_source(owner, drawing(5), 60, at=DAY)
        assert counts[BLOCKED]
        assert before.items() <= rows_in(filled.owner_dsn)["payment"].items()


def test_changes_are_the_same_for_the_same_seed(totesys_source: "TotesysSource", database: str) -> None:
    def traded(dsn: str) -> Tables:
        rng = drawing(11)
        with psycopg.connect(dsn, autocommit=True) as connection:
            fill_source(connection, seed=5, sales_orders=30)
            change_source(connection, rng, 40, at=DAY)
            with PendingChanges(dsn, rng, 4, at=OPENED_AT) as pending:
                change_source(connection, rng, 20, at=DAY + timedelta(hours=1))
                pending.commit()
        return rows_in(dsn)

    with psycopg.connect(database, autocommit=True) as connection:
        create_source(connection)
    assert traded(database) == traded(totesys_source.owner_dsn)


def test_rows_of_a_source_without_constraints_may_refer_to_missing_rows(totesys_source: "TotesysSource") -> None:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as connection:
        fill_source(connection, sales_orders=10, is_constrained=False, opened_at=OPENED_AT.replace(hour=23, minute=50))
        connection.execute("UPDATE sales_order SET staff_id = 999")
    found, watermark = extract(totesys_source.reader_dsn, None)
    assert len(found["sales_order"]) == 10
    assert watermark.newest == "2022-11-04 00:00:49.962"


def test_reader_may_do_nothing_else(filled: "TotesysSource") -> None:
    with psycopg.connect(filled.reader_dsn, autocommit=True) as connection:
        for statement in (
            "DELETE FROM payment",
            "SELECT FROM _prisma_migrations FOR UPDATE",
            "CREATE TABLE mine ()",
            "SELECT nextval('payment_payment_id_seq')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_other_parameters_of_a_dsn_are_kept(filled: "TotesysSource") -> None:
    with snapshot(make_conninfo(filled.reader_dsn, connect_timeout=3)) as opened:
        assert opened.tables == SOURCE_TABLES
