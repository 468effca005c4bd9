"""`totesys-sync` from an operational database to the star, compared with direct queries of the source."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pytest
from runs_here import run_here
from sample_dataset import client, connection
from totesys_direct import Star, Stores

from deployments.samples.totesys import OPENED_AT, fill_source
from deployments.samples.totesys_changes import PendingChanges, change_source
from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync
from tasks.contracts.totesys import TOTESYS
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.engine.errors import BalanceError, LakeSetupError, ObjectExistsError, PartitionBusyError, WarehouseError
from tasks.engine.lake.client import StoredObject
from tasks.engine.receipts import Freshness, SyncReceipt
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.sync.run_store import RunStore
from tasks.engine.sync.runs import one_at_a_time
from tasks.engine.warehouse import locks
from tasks.engine.warehouse.tables import Connection
from tasks.freshness import check_source

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource, TotesysStores

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database")]

Source = psycopg.Connection[Any]
HOUR = timedelta(hours=1)


@pytest.fixture
def source(totesys_source: "TotesysSource") -> Iterator[Source]:
    """The owner's connection to a small business."""
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as opened:
        fill_source(opened, sales_orders=20)
        yield opened


@pytest.fixture
def stores(totesys_stores: "TotesysStores") -> Stores:
    return Stores(totesys_stores.csv, totesys_stores.parquet)


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    del database  # needed only for its variable
    with connection() as opened:
        yield opened


def sync(*, full: bool = False) -> SyncReceipt:
    receipts: list[SyncReceipt] = run_here(totesys_sync, full=full)
    return receipts[-1]


def compare_keys() -> list[int]:
    """Run the comparison of keys. Returns the number of closed versions of each fact table."""
    return [receipt.closed_count for receipt in run_here(totesys_deletions)]


def fresh() -> Freshness:
    """The check of the source, without a Prefect server."""
    return check_source.fn(TOTESYS_SOURCE, datetime.now(UTC))


def runs(warehouse: Connection) -> list[tuple[Any, ...]]:
    return warehouse.execute("SELECT run_number, status FROM ledger.sync_runs ORDER BY 1").fetchall()


@pytest.mark.usefixtures("prefect_server")
def test_star_and_lake_are_those_of_the_source_after_each_run(
    source: Source, totesys_source: "TotesysSource", stores: Stores, warehouse: Connection
) -> None:
    star, at = Star(source), OPENED_AT + HOUR
    rng = random.Random(7)  # noqa: S311 - repeatable, not secret
    for number in range(3):
        with PendingChanges(totesys_source.owner_dsn, rng, 4, at=at - HOUR / 2) as late:
            receipt = sync() if number else totesys_sync()[-1]
            star.see()
            star.assert_equals_source(warehouse, is_compared=False)
            stores.look()
            late.commit()
        assert (receipt.run_number, receipt.is_full) == (number + 1, number == 0)
        assert {load.table.split(".")[1]: load.rows_loaded for load in receipt.loads} == dict(receipt.row_counts)
        change_source(source, rng, 40, at=at, silent_share=0.3)
        at += HOUR
    sync()
    totesys_deletions()
    assert fresh().status == "fresh"
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)
    stores.look()
    stores.assert_complete(warehouse)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("failing", "built"), [("dim_currency", "origins"), ("origins", "dim_currency")])
def test_next_run_builds_what_failed_beside_another_build(
    source: Source, stores: Stores, warehouse: Connection, failing: str, built: str
) -> None:
    tables = {"dim_currency": "totesys_warehouse.dim_currency", "origins": "totesys_core.origins"}
    apply_ddl(warehouse, TOTESYS, ["totesys_core", "totesys_warehouse"])
    warehouse.execute(f"ALTER TABLE {tables[failing]} ADD CONSTRAINT no_row CHECK (false)".encode())
    star = Star(source)
    star.see()
    with pytest.raises(WarehouseError, match="no_row"):
        run_here(totesys_sync)
    counts = {name: warehouse.execute(f"SELECT count(*) FROM {tables[name]}".encode()).fetchone() for name in tables}
    assert counts[failing] == (0,)
    assert counts[built] != (0,)
    assert runs(warehouse) == [(1, "converted")]
    warehouse.execute(f"ALTER TABLE {tables[failing]} DROP CONSTRAINT no_row".encode())
    sync()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "loaded"), (2, "unchanged")]


def test_error_of_a_store_ends_the_extraction_and_names_the_first_table_that_failed(
    source: Source, stores: Stores, warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failing = RunStore.write, {"design", "staff"}

    def refuse(store: RunStore, run_number: int, table: str, blocks: Iterable[bytes]) -> StoredObject:
        if table in failing:
            next(iter(blocks))
            raise ObjectExistsError(f"{table} exists")
        return write(store, run_number, table, blocks)

    monkeypatch.setattr(RunStore, "write", refuse)
    star = Star(source)
    first = next(table.name for table in TOTESYS_SOURCE.tables if table.name in failing)
    with pytest.raises(ObjectExistsError, match=f"{first} exists"):
        run_here(totesys_sync)
    failing.clear()
    run_here(totesys_sync)
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "superseded"), (2, "loaded")]


@pytest.mark.usefixtures("prefect_server")
def test_lost_source_connection_causes_a_new_extraction(
    source: Source,
    totesys_source: "TotesysSource",
    stores: Stores,
    warehouse: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = RunStore.write

    def cut_off(store: RunStore, run_number: int, table: str, blocks: Iterable[bytes]) -> StoredObject:
        if (run_number, table) == (1, "staff"):
            with psycopg.connect(totesys_source.reader_dsn, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
                )
        return write(store, run_number, table, blocks)

    monkeypatch.setattr(RunStore, "write", cut_off)
    star = Star(source)
    totesys_sync()
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "superseded"), (2, "loaded")]
    assert "input/1/counterparty.csv" in stores.keys("csv")


def test_run_without_a_change_leaves_an_entry_and_no_more(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    del source
    first = sync()
    assert first.row_counts
    assert first.arrival is not None

    def everything() -> object:
        tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname ~ '^(totesys_|ledger)'"
        names = [name for (name,) in warehouse.execute(tables) if name != "ledger.sync_runs"]
        rows = {name: warehouse.execute(f"SELECT xmin, * FROM {name} ORDER BY 2").fetchall() for name in names}
        return rows, stores.times()

    before = everything()
    receipt = sync()
    assert (receipt.row_counts, receipt.loads) == ((), ())
    assert (receipt.newest_change, receipt.arrival) == (first.newest_change, first.arrival)
    assert everything() == before
    assert runs(warehouse) == [(1, "loaded"), (2, "unchanged")]


def test_values_are_in_the_lake_and_in_the_star_as_they_are_in_the_source(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    source.execute(
        "UPDATE address SET address_line_2 = CASE address_id WHEN 1 THEN '' WHEN 2 THEN NULL"
        " WHEN 3 THEN E'two \"lines\",\\nand\\ttab\\r\\n' ELSE '\\N' END, district = 'NULL'"
    )
    source.execute("UPDATE sales_order SET unit_price = 12345678.90, created_at = '2022-11-03 14:20:49.1'")
    (receipt, star) = (sync(), Star(source))
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    for table, _ in receipt.row_counts:
        frame = stores.assert_parquet_is_csv(1, table)
        assert frame.schema["created_at"] == frame.schema["last_updated"] == pl.Datetime("ms")
    orders = stores.assert_parquet_is_csv(1, "sales_order")
    assert orders.schema["unit_price"] == pl.Decimal(10, 2)
    assert orders["unit_price"].to_list() == [Decimal("12345678.90")] * len(orders)
    lines = stores.assert_parquet_is_csv(1, "address").sort("address_id")["address_line_2"].to_list()
    assert lines[:4] == ["", None, 'two "lines",\nand\ttab\r\n', "\\N"]


def test_invalid_value_rejects_only_its_row(source: Source, stores: Stores, warehouse: Connection) -> None:
    source.execute("UPDATE sales_order SET unit_price = 'NaN' WHERE sales_order_id = 3")
    source.execute("UPDATE sales_order SET agreed_delivery_date = 'soon' WHERE sales_order_id = 5")
    sync()
    (orders,) = warehouse.execute("SELECT array_agg(sales_order_id) FROM totesys_warehouse.fact_sales_order").fetchone()
    assert sorted(orders) == sorted({*range(1, 21)} - {3, 5})
    assert stores.assert_parquet_is_csv(1, "sales_order")["unit_price"].to_list()[2] == "NaN"
    rejected = "SELECT line_number, column_name FROM ledger.rejected_rows ORDER BY 1"
    assert warehouse.execute(rejected).fetchall() == [(3, "unit_price"), (5, "agreed_delivery_date")]
    stores.assert_complete(warehouse)


def test_full_run_extracts_each_row_once(source: Source, stores: Stores, warehouse: Connection) -> None:
    star = Star(source)
    first, again = sync(), sync(full=True)
    assert (again.is_full, again.row_counts) == (True, first.row_counts)
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert sync().row_counts == ()


def test_runs_of_a_new_warehouse_continue_after_the_numbers_in_the_lake(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    for number in (1, 2):
        source.execute("UPDATE staff SET last_updated = last_updated + interval '1 s'")
        assert sync().run_number == number
    for schema in ("totesys_warehouse", "totesys_core", "totesys_staging", "ledger"):
        warehouse.execute(f"DROP SCHEMA {schema} CASCADE")
    stores.look()
    star = Star(source)
    assert sync().run_number == 3
    source.execute("UPDATE staff SET last_updated = last_updated + interval '1 s'")
    assert sync().run_number == 4
    stores.look()
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)


@pytest.mark.usefixtures("stores")
def test_deleted_row_is_closed_and_one_that_returns_is_opened(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    del stores
    star = Star(source)
    sync()
    star.see()
    row = source.execute("DELETE FROM payment WHERE payment_id = 1 RETURNING *").fetchone()
    assert row is not None
    assert compare_keys() == [0, 1, 0]
    assert compare_keys() == [0, 0, 0]
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)
    source.execute(f"INSERT INTO payment VALUES ({', '.join(['%s'] * len(row))})", row)
    assert dict(sync().reopened) == {"totesys_warehouse.fact_payment": 1}
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)


def test_foreign_object_under_a_run_number_remains_and_the_next_run_uses_another_number(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    star = Star(source)
    client().put_object(Bucket=stores.csv, Key="input/1/staff.csv", Body=b"theirs")
    stores.look()
    with pytest.raises(ObjectExistsError, match=r"input/1/staff\.csv: expected no object there"):
        sync()
    stores.look()
    sync()
    stores.look()
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "superseded"), (2, "loaded")]
    assert stores.text("csv", "input/1/staff.csv") == "theirs"


@pytest.mark.usefixtures("source", "stores")
def test_second_run_waits_and_names_the_holder_of_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "200ms")
    with connection("the first run") as other, one_at_a_time(other, "totesys"):
        for run in (sync, compare_keys):
            with pytest.raises(PartitionBusyError, match=r"sync totesys is being written by .*the first run"):
                run()
    assert sync().run_number == 1


def test_run_that_lost_its_lock_and_was_overtaken_stops(
    source: Source, stores: Stores, warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, star = RunStore.write, Star(source)

    def overtaken(store: RunStore, run_number: int, table: str, blocks: Iterable[bytes]) -> StoredObject:
        if (run_number, table) == (1, "staff"):
            locked = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert warehouse.execute(locked).fetchall() == [(True,)]
            sync()
        return write(store, run_number, table, blocks)

    monkeypatch.setattr(RunStore, "write", overtaken)
    with pytest.raises(BalanceError, match=r"run 1: expected status extracting in ledger\.sync_runs"):
        sync()
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "superseded"), (2, "loaded")]


def test_run_that_lost_its_lock_and_was_not_overtaken_completes(
    source: Source, stores: Stores, warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, star = RunStore.mark_complete, Star(source)

    def cut_off(store: RunStore, run_number: int) -> None:
        warehouse.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        mark(store, run_number)

    monkeypatch.setattr(RunStore, "mark_complete", cut_off)
    sync()
    star.see()
    star.assert_equals_source(warehouse, is_compared=False)
    stores.assert_complete(warehouse)
    assert runs(warehouse) == [(1, "loaded")]


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_store_that_was_not_set_up_fails_before_any_work(stores: Stores, warehouse: Connection, kind: str) -> None:
    warehouse.execute("DROP SCHEMA ledger CASCADE")
    client().delete_object(Bucket=dict(stores.buckets())[kind], Key=f"input/setup_success_{kind}_input.txt")
    client().put_object(Bucket=dict(stores.buckets())[kind], Key="input/else.txt")
    with pytest.raises(LakeSetupError, match="Terraform deployment unsuccessful"):
        sync()
    assert warehouse.execute("SELECT FROM pg_namespace WHERE nspname = 'ledger'").fetchall() == []


@pytest.mark.usefixtures("stores")
def test_only_a_change_that_is_overdue_makes_the_warehouse_stale(source: Source, warehouse: Connection) -> None:
    apply_ddl(warehouse, [], [])  # as the flow does at its start

    def change(minutes: int) -> None:
        at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=minutes)
        source.execute("UPDATE staff SET first_name = first_name || '.', last_updated = %s WHERE staff_id = 1", [at])

    assert fresh().status == "stale"  # no sync has loaded a change yet
    sync()
    assert fresh().status == "fresh"  # the newest change is years old, and the warehouse has it
    change(29)
    assert fresh().status == "fresh"
    change(31)
    found = fresh()
    assert (found.status, found.expected) == ("stale", "within 30 minutes")
    assert found.found.endswith("(run 1)")
    sync()
    assert fresh().status == "fresh"
