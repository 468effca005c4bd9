"""Partitions of staging tables: their rows, their creation, and their visibility to readers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sample_dataset import DAY_KEY, HEADER, STRICT, THINGS, connection, load, names, put, ready_connection, state

from tasks.contracts import Contract, Partition
from tasks.engine.errors import ErrorBudgetError, WarehouseBusyError, is_transient
from tasks.engine.warehouse import partitions
from tasks.engine.warehouse.partitions import ensure_partition, rows_of_partition
from tasks.engine.warehouse.tables import Connection, staging_ddl

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

APRIL = "things_staging.things_2021_04"
ROWS = HEADER + b"".join(b"%d,2021-04-01\n" % number for number in range(3000))


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def columns_of(postgres: Connection, table: str) -> list[tuple[str, str, bool]]:
    rows = postgres.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attname",
        [table],
    )
    return [(str(name), str(type_), bool(required)) for name, type_, required in rows]


def tables(postgres: Connection) -> list[str]:
    rows = postgres.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'things_staging'::regnamespace"
        " ORDER BY 1"
    )
    return [str(name) for (name,) in rows]


def plan_of(postgres: Connection, query: str) -> dict[str, Any]:
    row = postgres.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {}").format(sql.SQL(query))).fetchone()
    assert row
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def test_first_load_of_a_month_attaches_its_table(postgres: Connection) -> None:
    receipt = load(postgres, put(ROWS))
    assert columns_of(postgres, APRIL) == columns_of(postgres, "things_staging.things")
    found = postgres.execute("SELECT month, load_id, count(*) FROM things_staging.things GROUP BY 1, 2").fetchall()
    assert found == [(date(2021, 4, 1), receipt.load_id, 3000)]
    defaults = postgres.execute("SELECT count(*) FROM pg_attrdef WHERE adrelid = %s::regclass", [APRIL])
    assert defaults.fetchone() == (0,)
    checks = postgres.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass", [APRIL]
    )
    assert checks.fetchall() == []
    with pytest.raises(psycopg.errors.NotNullViolation):
        postgres.execute("INSERT INTO things_staging.things (month, name) VALUES ('2021-04-01', 'a')")


def test_new_month_is_attached_without_a_second_scan_of_its_rows(postgres: Connection) -> None:
    """The constraint proves that the rows belong to the month. Postgres reports the proof, or a scan of the rows."""
    said: list[str] = []
    postgres.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    with postgres.transaction():
        postgres.execute("SET LOCAL client_min_messages = debug1")
        april = date(2021, 4, 1)
        with partitions.open_partition(postgres, THINGS, april, 7) as target:
            copied = sql.SQL("COPY {} (name) FROM STDIN (FREEZE)").format(sql.Identifier(*target.table.split(".")))
            with postgres.cursor().copy(copied) as copy:
                copy.write("a\nb\n")
        rows = postgres.execute("SELECT month, load_id, name FROM things_staging.things ORDER BY name").fetchall()
    assert rows == [(april, 7, "a"), (april, 7, "b")]
    assert any("is implied by existing constraints" in text for text in said)
    assert not [text for text in said if text.startswith(("verifying table", "validating"))]


def test_month_of_several_objects_contains_the_rows_of_each_after_a_replacement(postgres: Connection) -> None:
    first, second = put(HEADER + b"a,\n", "1.csv"), put(HEADER + b"b,\nc,\n", "2.csv")
    loads = [load(postgres, first), load(postgres, second)]
    loads.append(load(postgres, put(HEADER + b"d,\n", "1.csv")))
    loads.append(load(postgres, put(HEADER + b"e,\n", "3.csv", "2021-05"), force=True))
    rows = postgres.execute("SELECT month::text, load_id, name FROM things_staging.things ORDER BY name").fetchall()
    ids = [receipt.load_id for receipt in loads]
    assert rows == [
        ("2021-04-01", ids[1], "b"),
        ("2021-04-01", ids[1], "c"),
        ("2021-04-01", ids[2], "d"),
        ("2021-05-01", ids[3], "e"),
    ]
    assert tables(postgres) == [APRIL, "things_staging.things_2021_05"]


def test_month_without_rows_has_a_table(postgres: Connection) -> None:
    assert load(postgres, put(HEADER)).rows_loaded == 0
    assert (tables(postgres), names(postgres)) == ([APRIL], [])
    assert load(postgres, put(HEADER + b"a,\n")).status == "replaced"
    assert names(postgres) == ["a"]


def test_month_with_a_dropped_table_is_loaded_again(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    postgres.execute("DROP TABLE things_staging.things_2021_04")
    assert load(postgres, put(HEADER + b"b,\n")).status == "replaced"
    assert names(postgres) == ["b"]


def test_failed_load_of_a_new_month_leaves_no_table(postgres: Connection) -> None:
    with pytest.raises(ErrorBudgetError):
        load(postgres, put(HEADER + b"a,x\n"), settings=STRICT)
    assert (tables(postgres), state(postgres)["loads"]) == ([], [])


def test_first_reader_of_a_new_month_writes_nothing(postgres: Connection) -> None:
    load(postgres, put(ROWS))
    plan = plan_of(postgres, "SELECT count(*) FROM things_staging.things")
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] > 10
    assert plan["Shared Dirtied Blocks"] == 0


def test_month_is_attached_while_others_read_and_write_the_table(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,\n", "3.csv", "2021-03"))
    with connection() as other, other.transaction():
        other.execute("INSERT INTO things_staging.things (month, load_id, name) VALUES ('2021-03-01', 1, 'b')")
        assert other.execute("SELECT count(*) FROM things_staging.things").fetchone() == (2,)
        load(postgres, put(ROWS))
        assert other.execute("SELECT count(*) FROM things_staging.things").fetchone() == (3002,)


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_reader_sees_a_new_month_whole_or_not_at_all(postgres: Connection, level: str) -> None:
    source = put(ROWS)
    with connection() as reader, reader.transaction():
        reader.execute(sql.SQL("SET TRANSACTION ISOLATION LEVEL {}").format(sql.SQL(level)))
        assert reader.execute("SELECT count(*) FROM things_staging.things").fetchone() == (0,)
        load(postgres, source)
        assert reader.execute("SELECT count(*) FROM things_staging.things").fetchone() in {(0,), (3000,)}


def test_load_without_the_right_to_attach_its_month_fails_early_and_leaves_nothing(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_WAIT", "200ms")
    source = put(ROWS)
    with connection() as other, other.transaction():
        other.execute("LOCK TABLE things_staging.things IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(
            WarehouseBusyError, match=rf"partition of things_staging\.things.*process {other.info.backend_pid}"
        ) as caught:
            load(postgres, source)
    assert is_transient(caught.value)
    assert (tables(postgres), state(postgres)["loads"]) == ([], [])
    assert load(postgres, source).rows_loaded == 3000


def test_partition_is_created_once_and_accepts_only_its_month(postgres: Connection) -> None:
    for _ in range(2):
        assert ensure_partition(postgres, THINGS, date(2021, 4, 1)) == "things_staging.things_2021_04"
    insert = sql.SQL("INSERT INTO things_staging.things (month, load_id, name) VALUES (%s, 1, 'a')")
    postgres.execute(insert, ["2021-04-01"])
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute(insert, ["2021-05-01"])
    assert postgres.execute("SELECT count(*) FROM things_staging.things_2021_04").fetchone() == (1,)
    assert columns_of(postgres, "things_staging.things_2021_04") == columns_of(postgres, "things_staging.things")


def yearly(*indexes: tuple[str, ...]) -> Contract:
    """Daily things, with one table for a year."""
    days = Partition("day", unit="day", span="year")
    return replace(THINGS, table="days_staging.days", partition=days, key=DAY_KEY, indexes=indexes)


def test_days_of_a_year_share_a_table(postgres: Connection) -> None:
    contract = yearly()
    postgres.execute(staging_ddl(contract))
    days = [date(2020, 12, 31), date(2021, 1, 1), date(2021, 12, 31), date(9999, 12, 31)]
    made = [ensure_partition(postgres, contract, day) for day in days]
    assert made == [f"days_staging.days_{year}" for year in (2020, 2021, 2021, 9999)]
    for day in days:
        postgres.execute("INSERT INTO days_staging.days (day, load_id, name) VALUES (%s, 1, 'a')", [day])
    found = postgres.execute("SELECT tableoid::regclass::text FROM days_staging.days ORDER BY day").fetchall()
    assert [name for (name,) in found] == made


def test_partition_contains_only_the_rows_of_its_unit(postgres: Connection) -> None:
    contract = yearly()
    postgres.execute(staging_ddl(contract))
    for day, count in (("2021-01-01", 1), ("2021-01-02", 2)):
        ensure_partition(postgres, contract, date.fromisoformat(day))
        for _ in range(count):
            postgres.execute("INSERT INTO days_staging.days (day, load_id, name) VALUES (%s, 1, 'a')", [day])
        rows = sql.SQL("SELECT count(*) FROM {} AND load_id = 1").format(rows_of_partition(contract, day))
        assert postgres.execute(rows).fetchone() == (count,)


def test_every_partition_has_the_indexes_of_the_contract(postgres: Connection) -> None:
    contract = yearly(("name",), ("seen_date", "name"))
    for _ in range(2):
        postgres.execute(staging_ddl(contract))
    for day in (date(2020, 1, 1), date(2021, 1, 1)):
        ensure_partition(postgres, contract, day)
    query = (
        "SELECT indexrelid::regclass::text, (SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = indexrelid), (SELECT count(*) FROM pg_inherits WHERE inhparent = indexrelid)"
        " FROM pg_index WHERE indrelid = 'days_staging.days'::regclass ORDER BY 1"
    )
    assert postgres.execute(query).fetchall() == [
        ("days_staging.days_day_ix", "day", 2),
        ("days_staging.days_name_ix", "name", 2),
        ("days_staging.days_seen_date_name_ix", "seen_date name", 2),
    ]


def test_concurrent_loads_create_a_partition_once(postgres: Connection) -> None:
    gate = threading.Barrier(4)

    def make(month: int) -> str:
        with connection() as own:
            gate.wait(10)
            return ensure_partition(own, THINGS, date(2021, month, 1))

    with ThreadPoolExecutor(4) as pool:
        made = sorted(pool.map(make, [1, 1, 2, 2]))
    assert made == ["things_staging.things_2021_01"] * 2 + ["things_staging.things_2021_02"] * 2


def test_partition_is_created_while_other_partitions_are_read_and_written(postgres: Connection) -> None:
    ensure_partition(postgres, THINGS, date(2021, 4, 1))
    with connection() as other, other.transaction():
        other.execute("INSERT INTO things_staging.things_2021_04 (month, load_id, name) VALUES ('2021-04-01', 1, 'a')")
        other.execute("SELECT * FROM things_staging.things")
        postgres.execute("SET lock_timeout = '2s'")
        assert ensure_partition(postgres, THINGS, date(2021, 5, 1)) == "things_staging.things_2021_05"
