"""`orders-daily` from the lake to the tables and the CSV, compared with the oracle and with answers by hand."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orders_oracle
import psycopg
import pytest
from runs_here import run_here
from sample_dataset import client, connection, lake

from deployments.samples.orders import MISSING_DAY, Order, sample_orders
from flows.backfill import backfill
from flows.orders_daily import orders_daily
from tasks import parameters
from tasks.contracts.orders import ORDERS
from tasks.engine.errors import BackfillError, ErrorBudgetError, MissingObjectError, ShrinkError, UnreadableObjectError
from tasks.engine.load.loader import load_object
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import RunSettings
from tasks.extract import objects_of
from tasks.orders.order_files import export_orders_range

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "orders"
DAY, NEXT = date(2021, 4, 1), date(2021, 4, 2)
KEYS = {
    "orders_table": "transaction_id",
    "order_details": "transaction_id, position",
    "user_months": "user_id, month",
    "users_table": "user_id",
}
COLUMNS = {
    "orders_table": "transaction_id, order_number, checkout_id, location_id, payment_type, is_online_order, product,"
    " created_at, processed_at, updated_at, cancelled_at, cancellation_reason, processing_method, subtotal_price,"
    " total_discounts, total_line_items_price, total_price, total_price_usd, total_tax, total_weight",
    "order_details": "line_item_id, transaction_id, position, product_id, variant_id, quantity",
    "user_months": "user_id, month, num_orders",
    "users_table": "user_id, email, phone, location_id, buyer_accepts_marketing, first_order_timestamp,"
    " first_order_product, last_order_timestamp, last_order_product, num_orders",
}
ORDER: Order = {
    **dict.fromkeys(ORDERS.sources),
    "id": 2_500_000_000_001,
    "created_at": "2021-04-01T10:00:00-04:00",
    "updated_at": "2021-04-01T10:00:00-04:00",
    "test": False,
    "line_items": [],
}


@pytest.fixture
def s3(bucket: str) -> "S3Client":
    del bucket  # its variables say where S3 is
    return client()


@pytest.fixture
def warehouse(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute("SET timezone = 'UTC'")
        yield opened


def file_of(*orders: Order) -> bytes:
    return json.dumps({"orders": orders}).encode()


def put(s3: "S3Client", bucket: str, day: date, content: bytes) -> None:
    s3.put_object(Bucket=bucket, Key=f"Input/{day}.json", Body=content)


def held(s3: "S3Client", bucket: str, name: object) -> bytes:
    return s3.get_object(Bucket=bucket, Key=f"Output/{name}.csv")["Body"].read()


def names_held(s3: "S3Client", bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="Output/").get("Contents", [])]


def records(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def tables(warehouse: psycopg.Connection) -> dict[str, list[Any]]:
    return {
        name: warehouse.execute(f"SELECT * FROM orders_core.{name} ORDER BY {key}").fetchall()
        for name, key in KEYS.items()
    }


def expected(files: Mapping[date, bytes]) -> dict[str, list[Any]]:
    return orders_oracle.tables(orders_oracle.versions_of(files))


def load(day: date) -> None:
    """Load a day like a run that dies directly after the load."""
    with connection() as opened:
        apply_ddl(opened, [ORDERS], ["orders_core"])
        (source,) = objects_of(lake(), ORDERS, f"{day}")
        load_object(opened, lake(), ORDERS, source, RunSettings())


def state(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> object:
    names = [f"orders_core.{name}" for name in (*KEYS, "latest_orders")]
    names += ["orders_staging.orders_raw", "ledger.loads", "ledger.builds", "ledger.exports"]
    objects = s3.list_objects_v2(Bucket=bucket, Prefix="Output/").get("Contents", [])
    rows = [warehouse.execute(f"SELECT xmin, t::text FROM {name} AS t ORDER BY 2").fetchall() for name in names]
    return [(item["Key"], item["ETag"], item["LastModified"]) for item in objects], rows


def test_days_agree_with_the_oracle_and_are_skipped_when_they_run_again(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, prefect_server: str
) -> None:
    sample = sample_orders(DAY, 5, orders=60)
    for day, content in sample.files.items():
        put(s3, bucket, day, content)
    last = max(sample.files)
    for day in sample.files:
        (found,) = orders_daily(day=day) if day == last else run_here(orders_daily, day=day)
        assert (found.rows_read, found.rows_rejected) == (sample.rows[day], sample.bad_rows[day])
        assert len(records(held(s3, bucket, day))) == found.rows_loaded
    assert tables(warehouse) == expected(sample.files)
    for name, wanted in COLUMNS.items():
        described = warehouse.execute(f"SELECT * FROM orders_core.{name}").description or ()
        assert [column.name for column in described] == wanted.split(", ")
    report = str(httpx.get(f"{prefect_server}/artifacts/orders-daily/latest").raise_for_status().json()["data"])
    assert f"| {sample.rows[day]} | {sample.rows[day] - 1} | 1 |" in report
    assert "Unknown columns: `source_note`." in report
    assert "line items have no id or share one" in report.replace("<br>", " ")

    before = state(s3, bucket, warehouse)
    (found,) = run_here(orders_daily, day=day)
    assert found.status == "unchanged"
    assert state(s3, bucket, warehouse) == before


def test_file_with_every_kind_of_irregular_order_agrees_with_the_oracle(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    item = {"id": 10_000_000_001, "variant_id": 40_000_000_001, "quantity": 2, "product_id": 8_000_000_001}
    late = {"created_at": "2021-04-01T23:30:00-05:00", "updated_at": "2021-04-01T23:45:00-05:00"}
    orders = [
        ORDER
        | late
        | {"id": 5, "user_id": 9_000_000_001, "name": "#5", "email": None, "phone": "", "total_price": "2.675"},
        ORDER
        | late
        | {"id": 4, "user_id": 9_000_000_001, "name": "#4", "email": "a", "total_price": "130.64999999999998"},
        ORDER | {"id": 3, "user_id": 9_000_000_001, "name": "#3", "total_price": "0.005", "line_items": [item, item]},
        ORDER | {"id": "none"},
        ORDER
        | {"id": 2, "user_id": 9_000_000_002, "name": "#2", "test": True, "total_price": "0.00", "line_items": [item]},
        ORDER | {"checkout_id": 5_000_000_000_001, "name": "#1", "total_price": "-0.005", "loyalty": {"points": 1.50}},
    ]
    put(s3, bucket, DAY, file_of(*orders))
    (found,) = run_here(orders_daily, day=DAY)
    assert (found.rows_read, found.rows_rejected, found.unknown_columns) == (6, 1, ("loyalty",))
    raw = warehouse.execute(
        "SELECT id, order_date, utc_offset, created_at, unknown_keys, file_date FROM orders_staging.orders_raw"
        " WHERE id = 5 OR unknown_keys IS NOT NULL ORDER BY id"
    ).fetchall()
    assert raw == [
        (5, DAY, "-05:00", datetime(2021, 4, 2, 4, 30, tzinfo=UTC), None, DAY),
        (2_500_000_000_001, DAY, "-04:00", datetime(2021, 4, 1, 14, tzinfo=UTC), {"loyalty": {"points": 1.5}}, DAY),
    ]
    assert warehouse.execute(
        "SELECT transaction_id, total_price, is_online_order FROM orders_core.orders_table ORDER BY 1"
    ).fetchall() == [
        (3, Decimal("0.01"), False),
        (4, Decimal("130.65"), False),
        (5, Decimal("2.68"), False),
        (2_500_000_000_001, Decimal("-0.01"), True),
    ]
    assert warehouse.execute("SELECT * FROM orders_core.order_details ORDER BY position").fetchall() == [
        (10_000_000_001, 3, position, 8_000_000_001, 40_000_000_001, 2) for position in (1, 2)
    ]
    first, last = datetime(2021, 4, 1, 14, tzinfo=UTC), datetime(2021, 4, 2, 4, 30, tzinfo=UTC)
    assert warehouse.execute("SELECT * FROM orders_core.users_table ORDER BY user_id").fetchall() == [
        (9_000_000_001, None, "", None, None, first, "#3", last, "#5", 3),
        (9_000_000_002, None, None, None, None, first, "#2", first, "#2", 1),
    ]
    (rejected,) = warehouse.execute("SELECT column_name, raw FROM ledger.rejected_rows").fetchall()
    assert (rejected[0], json.loads(rejected[1])["id"]) == ("id", "none")
    text = held(s3, bucket, DAY)
    assert [row["id"] for row in records(text)] == ["2", "3", "4", "5", "2500000000001"]
    assert text.splitlines()[0].decode().split(",") == ["file_date", *(column.name for column in ORDERS.columns)]
    row = records(text)[1]
    assert json.loads(row["line_items"]) == [item, item]
    assert (row["total_price"], row["order_date"], row["test"]) == ("0.01", "2021-04-01", "f")


def test_day_that_is_delivered_again_replaces_its_rows_and_missing_orders_return_to_their_earlier_version(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    old = ORDER | {"id": 1, "user_id": 1, "total_price": "10", "line_items": [{"id": 1, "quantity": 1}]}
    new = old | {"user_id": 2, "total_price": "20", "updated_at": "2021-04-02T09:00:00-04:00", "line_items": []}
    files = {DAY: file_of(old, ORDER | {"id": 2, "user_id": 1}), NEXT: file_of(new, ORDER | {"id": 3, "user_id": 3})}
    for day, content in files.items():
        put(s3, bucket, day, content)
        run_here(orders_daily, day=day)
    first = held(s3, bucket, DAY)
    users = [row[0] for row in tables(warehouse)["users_table"]]
    assert (users, len(tables(warehouse)["orders_table"])) == ([1, 2, 3], 3)
    files[NEXT] = file_of(ORDER | {"id": 4, "user_id": 1})
    put(s3, bucket, NEXT, files[NEXT])
    (found,) = run_here(orders_daily, day=NEXT)
    assert found.status == "replaced"
    found_tables = tables(warehouse)
    assert [(row[0], row[-1]) for row in found_tables["users_table"]] == [(1, 3)]
    assert [(row[0], row[16]) for row in found_tables["orders_table"]] == [(1, Decimal(10)), (2, None), (4, None)]
    missing = {"variant_id": None, "product_id": None}
    old["line_items"] = [item | missing for item in old["line_items"]]
    assert found_tables == expected(files | {DAY: file_of(old, ORDER | {"id": 2, "user_id": 1})})
    assert [row["id"] for row in records(held(s3, bucket, NEXT))] == ["4"]
    assert held(s3, bucket, DAY) == first


@pytest.mark.usefixtures("prefect_server")
def test_upgrade_of_a_deployed_warehouse_counts_the_orders_of_all_days(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    """The earlier release had no table of months and did not record its builds."""
    sample = sample_orders(DAY, 4, orders=60)
    for day, content in sample.files.items():
        put(s3, bucket, day, content)
    *earlier, last = sample.files
    for day in earlier:
        run_here(orders_daily, day=day)
    warehouse.execute("DROP TABLE orders_core.user_months")
    warehouse.execute("DELETE FROM ledger.builds WHERE table_name = 'orders_core.user_months'")
    run_here(orders_daily, day=last)
    built, wanted = tables(warehouse), expected(sample.files)
    users = {row[0] for row in built["user_months"]}
    assert users >= {order["user_id"] for order in json.loads(sample.files[last])["orders"]} - {None}
    assert built["user_months"] == [row for row in wanted["user_months"] if row[0] in users]
    assert built["users_table"] == wanted["users_table"]
    assert backfill(pipeline="orders-daily", dry_run=True).of("unchanged") == [f"{last}"]
    backfill(pipeline="orders-daily")
    assert tables(warehouse) == wanted


@pytest.mark.usefixtures("prefect_server")
def test_empty_array_empties_its_day_only_with_force(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    put(s3, bucket, DAY, file_of(ORDER | {"user_id": 1}))
    run_here(orders_daily, day=DAY)
    before = state(s3, bucket, warehouse)
    put(s3, bucket, DAY, b'{"orders": []}')
    with pytest.raises(ShrinkError, match="found 0 rows"):
        run_here(orders_daily, day=DAY)
    assert state(s3, bucket, warehouse) == before
    with pytest.raises(BackfillError, match=rf"{DAY}: .*found 0 rows.*run again with force"):
        backfill(pipeline="orders-daily")
    assert state(s3, bucket, warehouse) == before
    (found,) = run_here(orders_daily, day=DAY, force=True)
    assert (found.status, found.rows_read) == ("replaced", 0)
    assert tables(warehouse) == {name: [] for name in KEYS}
    assert records(held(s3, bucket, DAY)) == []
    assert held(s3, bucket, DAY).startswith(b"file_date,id,email,")


def test_file_that_cannot_be_read_leaves_tables_and_csv_as_they_were(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = file_of(ORDER, ORDER | {"id": 2})
    put(s3, bucket, DAY, good)
    run_here(orders_daily, day=DAY)
    before = state(s3, bucket, warehouse)
    damaged = {
        b"no JSON at all": UnreadableObjectError,
        good[: len(good) // 2]: UnreadableObjectError,
        b'{"order": []}': UnreadableObjectError,
        file_of(ORDER, *[ORDER | {"id": "none"}] * 3): ErrorBudgetError,
    }
    monkeypatch.setenv("MAX_REJECTED_ROWS", "2")
    for content, error in damaged.items():
        put(s3, bucket, DAY, content)
        with pytest.raises(error, match=rf"s3://{bucket}/Input/{DAY}\.json"):
            run_here(orders_daily, day=DAY)
        assert state(s3, bucket, warehouse) == before


def test_missing_day_fails_at_once_and_names_the_nearest(s3: "S3Client", bucket: str) -> None:
    sample = sample_orders(DAY, orders=1)
    for day, content in sample.files.items():
        put(s3, bucket, day, content)
    missing = DAY + timedelta(MISSING_DAY - 1)
    with pytest.raises(MissingObjectError, match=rf"s3://{bucket}/Input/{missing}\.json") as caught:
        run_here(orders_daily, day=missing)
    assert "2021-04-01, 2021-04-02, 2021-04-04" in str(caught.value)
    assert names_held(s3, bucket) == []


def test_run_without_a_day_completes_a_run_that_died_after_the_load(
    s3: "S3Client",
    bucket: str,
    warehouse: psycopg.Connection,
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parameters, "scheduled_day", lambda: date(2021, 5, 1))
    yesterday = date(2021, 4, 30)
    put(s3, bucket, yesterday, file_of(ORDER | {"user_id": 1}))
    load(yesterday)
    (found,) = orders_daily()
    assert (found.status, found.partition) == ("unchanged", f"{yesterday}")
    assert {name: len(rows) for name, rows in tables(warehouse).items()} == {
        "orders_table": 1,
        "order_details": 0,
        "user_months": 1,
        "users_table": 1,
    }
    assert names_held(s3, bucket) == [f"Output/{yesterday}.csv"]
    named = {"flow_runs": {"name": {"any_": [f"orders-daily-{yesterday}"]}}}
    assert len(httpx.post(f"{prefect_server}/flow_runs/filter", json=named).json()) == 1


@pytest.mark.usefixtures("prefect_server")
def test_file_of_a_range_has_the_same_bytes_after_its_days_are_loaded_again(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    sample = sample_orders(DAY, orders=20)
    for day, content in sample.files.items():
        put(s3, bucket, day, content)
        load(day)
    last = max(sample.files)
    for day in (DAY, NEXT):
        export_orders_range(day, day)
    receipt = export_orders_range(DAY, NEXT + timedelta(1))
    name = "2021-04-01_2021-04-03"
    assert (receipt.uri, receipt.status) == (f"s3://{bucket}/Output/{name}.csv", "exported")
    whole = held(s3, bucket, name)
    parts = [held(s3, bucket, day).split(b"\n", 1) for day in (DAY, NEXT)]
    assert whole == parts[0][0] + b"\n" + parts[0][1] + parts[1][1]
    assert export_orders_range(DAY, NEXT).row_count == receipt.row_count  # the third day has no file
    assert export_orders_range(DAY, NEXT + timedelta(1)).status == "unchanged"
    export_orders_range(NEXT + timedelta(1), last)

    warehouse.execute("DROP SCHEMA orders_staging CASCADE; DROP SCHEMA ledger CASCADE")
    for day in sorted(sample.files, reverse=True):
        load(day)
    again = export_orders_range(DAY, NEXT + timedelta(1))
    assert (again.status, held(s3, bucket, name)) == ("exported", whole)


@pytest.mark.usefixtures("prefect_server")
def test_range_whose_end_precedes_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a range of days, found 2021-04-02 to 2021-04-01"):
        export_orders_range(NEXT, DAY)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real orders in {REAL}")
def test_real_days_agree_with_the_oracle(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    files = {date.fromisoformat(path.stem): path.read_bytes() for path in sorted(REAL.glob("*.json"))}
    for day, content in files.items():
        put(s3, bucket, day, content)
        (found,) = run_here(orders_daily, day=day)
        assert found.rows_rejected == 0
    assert tables(warehouse) == expected(files)
