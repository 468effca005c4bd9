import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orders_oracle
import pytest

from deployments.samples.orders import MISSING_DAY, TEST_USER, Order, SampleOrders, document, main, sample_orders

FIRST = date(2021, 4, 1)


@pytest.fixture(scope="module")
def sample() -> SampleOrders:
    return sample_orders(FIRST, orders=100)


def orders(sample: SampleOrders, day: date) -> list[Order]:
    found: list[Order] = json.loads(sample.files[day])["orders"]
    return found


def test_same_arguments_give_the_same_bytes(sample: SampleOrders) -> None:
    assert sample_orders(FIRST, orders=100) == sample
    assert sample_orders(FIRST, orders=100, seed=1).files != sample.files


def test_expected_totals_equal_the_oracle(sample: SampleOrders) -> None:
    tables = orders_oracle.tables(orders_oracle.versions_of(sample.files))
    assert len(tables["orders_table"]) == sample.order_count
    assert sum((row[16] for row in tables["orders_table"]), Decimal()) == sample.total_price
    assert len(tables["order_details"]) == sample.item_count
    assert sum(row[5] for row in tables["order_details"]) == sample.quantity
    assert {row[0]: row[-1] for row in tables["users_table"]} == sample.user_orders
    assert sample.user_orders[TEST_USER] == 1


def test_counts_of_rows_and_bad_rows_equal_the_files(sample: SampleOrders) -> None:
    assert {day: len(orders(sample, day)) for day in sample.files} == sample.rows
    unreadable = {
        day: sum(not orders_oracle.is_readable(order) for order in orders(sample, day)) for day in sample.files
    }
    assert unreadable == sample.bad_rows
    assert sum(sample.bad_rows.values()) == 1
    assert FIRST + timedelta(MISSING_DAY - 1) not in sample.files


def test_files_contain_the_peculiarities_of_real_files(sample: SampleOrders) -> None:
    delivered = [(day, order) for day in sample.files for order in orders(sample, day)]
    sound = [(day, order) for day, order in delivered if orders_oracle.is_readable(order)]
    assert any(len(order["total_price"]) > 12 for _, order in sound)
    assert {order[name] for _, order in sound for name in ("email", "phone")} >= {None, ""}
    assert any(datetime.fromisoformat(order["created_at"]).hour == 23 for _, order in sound)
    again = [order for day, order in sound if orders_oracle.local_date(order["created_at"]) < day]
    assert again
    assert all("source_note" in order for order in again)
    newest_first = [order["created_at"] for _, order in sound if _ == FIRST]
    assert newest_first == sorted(newest_first, reverse=True)


@pytest.mark.parametrize("is_pretty", [True, False])
def test_document_is_the_same_in_both_layouts(*, is_pretty: bool) -> None:
    for given in ([], [{"id": 1}], [{"id": 1}, {"id": 2}]):
        assert json.loads(b"".join(document(given, is_pretty=is_pretty))) == {"orders": given}


def test_command_writes_the_files(tmp_path: Path) -> None:
    main(["2021-04-01", str(tmp_path / "orders"), "--days", "2", "--orders", "5"])
    written = {path.stem: path.read_bytes() for path in (tmp_path / "orders").iterdir()}
    assert written == {f"{day}": content for day, content in sample_orders(FIRST, 2, 5).files.items()}
