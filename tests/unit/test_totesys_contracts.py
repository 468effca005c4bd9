import json
from datetime import datetime

import pytest
from copied_rows import parsed

from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.contracts.types import TIMESTAMP_MS
from tasks.totesys.currencies import currency_names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-29 23:59:59.999", "2024-02-29T23:59:59.999"),
        ("2024-02-29T23:59:59.990000", "2024-02-29T23:59:59.990"),
        ("2024-02-29 00:00:00", "2024-02-29T00:00:00"),
        ("2024-02-29 00:00:00.1", "2024-02-29T00:00:00.100"),
        ("0001-01-01 00:00:00", "0001-01-01T00:00:00"),
        ("9999-12-31 23:59:59.999", "9999-12-31T23:59:59.999"),
        ("2024-02-29", "2024-02-29T00:00:00"),
        ("2024-02-29 24:00:00", "2024-03-01T00:00:00"),
        (" 2024-02-29 00:00\n", "2024-02-29T00:00:00"),
    ],
)
def test_timestamp_of_milliseconds_is_read_exactly(text: str, value: str) -> None:
    assert parsed(TIMESTAMP_MS, text) == [datetime.fromisoformat(value)]


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-30 00:00:00", "2024-02-29 24:00:00.001", "2024-02-29 0:00", "9999-12-31 24:00"),
        *("2024-02-29 00:00:00.1234", "2024-02-29 00:00:00.000001", "2024-02-29 00:00:00."),
        *("2024-02-29 00:00:00Z", "2024-02-29 00:00:00+00", "infinity", "10000-01-01 00:00:00", "", None),
    ],
)
def test_other_timestamps_are_invalid(text: str | None) -> None:
    assert parsed(TIMESTAMP_MS, text) == [None]


def test_contracts_have_the_columns_of_the_source_in_its_order() -> None:
    found = {contract.table: [column.name for column in contract.columns] for contract in TOTESYS}
    assert found == {f"totesys_staging.{table.name}": list(table.columns) for table in SOURCE_TABLES}
    assert list(found) == [f"totesys_staging.{table.name}" for table in SOURCE_TABLES]


def test_ids_and_times_are_required() -> None:
    for contract in TOTESYS:
        required = {column.name for column in contract.columns if not column.nullable}
        assert {contract.columns[0].name, "created_at", "last_updated"} <= required


def test_facts_require_all_but_the_day_of_a_payment_and_its_accounts() -> None:
    nullable = {column.name for history in HISTORIES for column in history.contract.columns if column.nullable}
    assert nullable == {"payment_date", "company_ac_number", "counterparty_ac_number"}


def test_histories_are_named_after_their_tables() -> None:
    assert [(history.source_table, history.table, history.current) for history in HISTORIES] == [
        (name, f"totesys_warehouse.fact_{name}", f"totesys_warehouse.fact_{name}_current")
        for name in ("sales_order", "purchase_order", "payment")
    ]


def test_currency_names_are_those_of_iso() -> None:
    names = json.loads(currency_names()["currency_names"])
    wanted = {"GBP": "Pound Sterling", "USD": "US Dollar", "EUR": "Euro", "JPY": "Yen"}
    assert {code: names[code] for code in wanted} == wanted
    assert "gbp" not in names
