"""The flows of `totesys` after somebody else changed the source, the lake or the warehouse."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from runs_here import run_here
from sample_dataset import client, connection
from totesys_direct import Star, Stores

from deployments.samples.totesys import create_source, fill_source
from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync
from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.engine.errors import BalanceError, ErrorBudgetError, ParameterError, SourceError
from tasks.engine.receipts import SyncReceipt
from tasks.engine.warehouse.sessions import Connection
from tasks.freshness import check_source

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource, TotesysStores

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database")]

Source = psycopg.Connection[Any]


@pytest.fixture
def source(totesys_source: "TotesysSource") -> Iterator[Source]:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as opened:
        fill_source(opened, sales_orders=10)
        yield opened


@pytest.fixture
def stores(totesys_stores: "TotesysStores") -> Stores:
    return Stores(totesys_stores.csv, totesys_stores.parquet)


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    del database  # needed only for its variable
    with connection() as opened:
        yield opened


def sync(**parameters: Any) -> SyncReceipt:
    receipts: list[SyncReceipt] = run_here(totesys_sync, **parameters)
    return receipts[-1]


def touch(source: Source) -> None:
    source.execute("UPDATE payment SET last_updated = last_updated + interval '1 s' WHERE payment_id < 3")


def runs(warehouse: Connection) -> list[tuple[Any, ...]]:
    return warehouse.execute("SELECT run_number, status FROM ledger.sync_runs ORDER BY 1").fetchall()


def test_run_that_cannot_be_completed_can_be_given_up(source: Source, stores: Stores, warehouse: Connection) -> None:
    star = Star(source)
    sync()
    star.see()
    source.execute("UPDATE staff SET first_name = 'X' WHERE staff_id = 4")
    source.execute("ALTER TABLE currency ALTER currency_id TYPE bigint")
    source.execute("INSERT INTO currency SELECT 5000000000 + i, 'EUR', now(), now() FROM generate_series(1, 200) AS i")
    for _ in range(2):
        with pytest.raises(ErrorBudgetError, match=r"input/2/currency\.parquet: 200 of 203 rows were rejected"):
            sync(full=True)
    source.execute("DELETE FROM currency WHERE currency_id > 5000000000")
    with pytest.raises(ErrorBudgetError):
        sync()
    with pytest.raises(ParameterError, match=r"found 1, and in ledger\.sync_runs run 2 in status converted"):
        sync(give_up=1)
    stores.look()
    receipt = sync(give_up=2)
    assert (receipt.run_number, receipt.is_full) == (3, True)
    assert runs(warehouse) == [(1, "loaded"), (2, "superseded"), (3, "loaded")]
    stores.look()
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)
    with pytest.raises(ParameterError, match=r"found 2, and in ledger\.sync_runs no unfinished run"):
        sync(give_up=2)
    assert sync().row_counts == ()


def test_table_that_is_created_anew_is_filled_from_all_rows(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    del stores
    sync()
    touch(source)
    sync()
    warehouse.execute("DROP TABLE totesys_warehouse.fact_payment CASCADE")
    receipt = sync()
    assert (receipt.is_full, dict(receipt.row_counts)["payment"]) == (True, 9)
    star = Star(source)
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)
    assert sync().row_counts == ()


def test_restored_ledger_uses_no_number_of_the_lake_again(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    star = Star(source)
    sync()
    star.see()
    for _ in range(2):
        touch(source)
        sync()
        star.see()
    stores.look()
    warehouse.execute("DELETE FROM ledger.sync_runs WHERE run_number > 1")
    warehouse.execute("SELECT setval(pg_get_serial_sequence('ledger.sync_runs', 'run_number'), 1)")
    touch(source)
    assert sync().run_number == 4
    stores.look()
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)
    touch(source)
    assert sync().run_number == 5


def test_parquet_file_of_another_program_stops_the_run_before_the_build(
    source: Source, stores: Stores, warehouse: Connection
) -> None:
    star = Star(source)
    sync()
    star.see()
    body = client().get_object(Bucket=stores.parquet, Key="processed/1/payment.parquet")["Body"].read()
    client().put_object(Bucket=stores.parquet, Key="input/2/payment.parquet", Body=body)
    touch(source)
    words = r"input/2/payment\.parquet: expected the 2 rows that the source sent, found 9\..*give_up=2"
    for _ in range(2):
        with pytest.raises(BalanceError, match=words):
            sync()
    star.assert_equals_source(warehouse, is_compared=True)
    sync(give_up=2)
    star.see()
    star.assert_equals_source(warehouse, is_compared=True)


def test_keys_of_another_database_close_nothing(
    source: Source,
    stores: Stores,
    warehouse: Connection,
    new_database: Callable[[], AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del stores
    star = Star(source)
    sync()
    star.see()
    with new_database() as other, monkeypatch.context() as elsewhere:
        with psycopg.connect(other, autocommit=True) as empty:
            create_source(empty)
        elsewhere.setenv("TOTESYS_DSN", other)
        with pytest.raises(SourceError, match=r"the source is now database .* No row was marked as deleted"):
            run_here(totesys_deletions)
    star.assert_equals_source(warehouse, is_compared=True)
    source.execute("DELETE FROM payment WHERE payment_id = 1")
    assert [receipt.closed_count for receipt in run_here(totesys_deletions)] == [0, 1, 0]


@pytest.mark.usefixtures("stores")
def test_change_that_is_overdue_is_found_beside_a_time_far_in_the_future(source: Source) -> None:
    source.execute("UPDATE payment SET last_updated = 'infinity' WHERE payment_id = 1")
    sync()
    source.execute("UPDATE payment SET last_updated = '2023-01-01' WHERE payment_id = 2")
    assert check_source.fn(TOTESYS_SOURCE, datetime.now(UTC)).status == "stale"
    sync()
    assert check_source.fn(TOTESYS_SOURCE, datetime.now(UTC)).status == "fresh"
