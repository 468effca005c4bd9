import json
import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from copied_rows import Validated, parsed, parsed_by, validated
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.orders import LINE_ITEMS, MONEY, OFFSET, ORDERS
from tasks.contracts.types import TIMESTAMPTZ
from tasks.engine.formats.json_reader import RecordKeys, json_batch

KEYS = re.findall(
    r"\w+",
    "id, email, closed_at, created_at, updated_at, number, note, token, gateway, test, total_price, subtotal_price,"
    " total_weight, total_tax, taxes_included, currency, financial_status, confirmed, total_discounts,"
    " total_line_items_price, cart_token, buyer_accepts_marketing, name, referring_site, landing_site, cancelled_at,"
    " cancel_reason, total_price_usd, checkout_token, reference, user_id, location_id, source_identifier, source_url,"
    " processed_at, device_id, phone, customer_locale, app_id, browser_ip, landing_site_ref, order_number,"
    " processing_method, checkout_id, source_name, fulfillment_status, tags, contact_email, order_status_url,"
    " line_items, total_discount",
)
"""As the specification lists them."""

ORDER = dict.fromkeys(KEYS) | {
    "id": 2_500_000_000_001,
    "created_at": "2021-04-01T23:30:00-05:00",
    "updated_at": "2021-04-02T00:10:00-05:00",
    "test": False,
}


ORDER_DATE = next(column for column in ORDERS.columns if column.name == "order_date")


def read(*orders: dict[str, Any]) -> Validated:
    records = [(line, json.dumps(order).encode()) for line, order in enumerate(orders, 1)]
    return validated(ORDERS, json_batch(records, RecordKeys(ORDERS, "day.json")))


def row_of(**fields: Any) -> dict[str, Any]:
    found = read(ORDER | fields)
    assert found.rejected == []
    return found.rows[0]


def test_contract_has_every_key_of_the_specification() -> None:
    assert list(ORDERS.sources) == KEYS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("0.00499999999999999999", "0.00"),
        ("2.675", "2.68"),
        ("130.64999999999998", "130.65"),
        ("130.64499999999998", "130.64"),
        ("1.005", "1.01"),
        ("999999999999.994", "999999999999.99"),
        ("1e-3", "0.00"),
        ("5e-3", "0.01"),
        ("12", "12.00"),
    ],
)
def test_money_is_rounded_half_away_from_zero_from_its_digits(text: str, value: str) -> None:
    assert parsed(MONEY, text) == [Decimal(value)]
    assert row_of(total_price=text)["total_price"] == Decimal(value)


@examples(300)
@given(st.decimals(-(10**9), 10**9, places=5) | st.decimals(-(10**6), 10**6, allow_nan=False, places=17))
def test_money_is_what_decimal_makes_of_it(amount: Decimal) -> None:
    wanted = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert parsed(MONEY, format(amount, "f")) == [wanted]


@pytest.mark.parametrize("text", ["1,234.50", "$5", "1 1", "NaN", "999999999999.995"])
def test_invalid_amount_rejects_only_its_order(text: str) -> None:
    found = read(ORDER, ORDER | {"total_price": text}, ORDER)
    assert len(found.rows) == 2
    assert [(row.line_number, row.column_name) for row in found.rejected] == [(2, "total_price")]


def test_order_shortly_before_local_midnight_keeps_its_own_date_and_offset() -> None:
    row = row_of()
    assert row["created_at"] == datetime(2021, 4, 2, 4, 30, tzinfo=row["created_at"].tzinfo)
    assert (row["order_date"], row["utc_offset"]) == (date(2021, 4, 1), "-05:00")


@examples(200)
@given(
    st.dates(date(1971, 1, 1), date(2999, 1, 1)),
    st.times(),
    st.integers(-15 * 60, 15 * 60),
    st.sampled_from(["", ":"]),
)
def test_local_date_and_offset_are_those_that_are_written(day: date, clock: time, minutes: int, colon: str) -> None:
    moment = datetime.combine(day, clock, timezone(timedelta(minutes=minutes)))
    text = moment.replace(microsecond=0).isoformat()
    spelt = text if colon else re.sub(r":(\d\d)$", r"\1", text)
    assert parsed_by(ORDER_DATE, spelt) == [day]
    assert parsed(OFFSET, spelt) == [text[-6:]]
    assert parsed(TIMESTAMPTZ, spelt) == [datetime.fromisoformat(text)]


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("2021-04-01T10:00:00Z", "+00:00"),
        ("2021-04-01 10:00:00.5-0500", "-05:00"),
        ("2021-04-01T10:00:00-03", "-03:00"),
        ("2021-04-01T10:00+05:30", "+05:30"),
        (" 2021-04-01 10:00:00,5 +530\n", "+05:30"),
        ("2021-04-01t10:00z", "+00:00"),
        ("2021-04-01 10:00 UTC", "+00:00"),
        ("1900-01-01T00:00:00+00:09:21", "+00:09:21"),
        ("2021-04-01T10:00:00+5", "+05:00"),
        ("2021-04-01T10:00:00", None),
        (" 2021-04-01", None),
        ("2021-04-01", None),
        (None, None),
    ],
)
def test_offset_is_normalised_and_null_without_one(text: str | None, offset: str | None) -> None:
    assert parsed(OFFSET, text) == [offset]


@pytest.mark.parametrize("name", [column.name for column in ORDERS.columns if column.type.postgres == "bigint"])
@pytest.mark.parametrize("value", [2**31, 2**63 - 1, -(2**63)])
def test_numbers_beyond_32_bits_are_kept(name: str, value: int) -> None:
    assert row_of(**{name: value})[name] == value


@pytest.mark.parametrize("name", ["email", "phone", "note", "contact_email", "tags"])
def test_null_and_empty_texts_stay_apart(name: str) -> None:
    assert row_of(**{name: None})[name] is None
    assert row_of(**{name: ""})[name] == ""


@pytest.mark.parametrize("name", ["checkout_id", "closed_at", "total_tax", "user_id", "confirmed", "line_items"])
def test_empty_string_is_null_in_columns_that_are_not_text(name: str) -> None:
    assert row_of(**{name: ""})[name] is None


@pytest.mark.parametrize("name", ["id", "created_at", "updated_at", "test"])
@pytest.mark.parametrize("value", [None, "", "yesterday", {}, []])
def test_order_without_a_value_that_tables_need_is_rejected_alone(name: str, value: Any) -> None:
    found = read(ORDER, ORDER | {name: value}, ORDER)
    assert len(found.rows) == 2
    assert [(row.line_number, row.column_name) for row in found.rejected] == [(2, name)]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"id": 2**63 - 1, "variant_id": None, "quantity": 2**31 - 1, "product_id": None}],
        [{"id": "11145", "quantity": "-2"}, {}],
        [{"id": " +0011145 ", "quantity": "+2\n"}],
        [{"id": 1, "quantity": 1, "properties": [{"note": "a\nb"}]}],
    ],
)
def test_line_items_are_kept_as_they_are(items: Any) -> None:
    assert json.loads(row_of(line_items=items)["line_items"][1:]) == items


@pytest.mark.parametrize(
    "items",
    [
        {},
        "none",
        7,
        [7],
        [[]],
        [None],
        [{"quantity": 1.5}],
        [{"quantity": 2**31}],
        [{"id": 2**63}],
        [{"id": "x"}],
        [{"id": ""}],
        [{"product_id": "1 1"}],
        [{"variant_id": True}],
    ],
)
def test_line_items_that_no_table_can_use_reject_only_their_order(items: Any) -> None:
    found = read(ORDER, ORDER | {"line_items": items})
    assert len(found.rows) == 1
    assert [(row.line_number, row.column_name) for row in found.rejected] == [(2, "line_items")]


@pytest.mark.parametrize("text", ["[", "[{]", '[{"id": 1}', "[1] [2]", "NaN"])
def test_invalid_line_items_are_rejected(text: str) -> None:
    assert parsed(LINE_ITEMS, text) == [None]
