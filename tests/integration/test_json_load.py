"""Loads of JSON objects and their types into a real Postgres."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from sample_dataset import DAY_KEY, STRICT, THINGS, load, put, ready_connection

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import BIGINT, BOOLEAN, INTEGER, NUMERIC, TEXT, TIMESTAMPTZ
from tasks.engine.errors import ContractError, ShrinkError, UnreadableObjectError
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

ORDERS = Contract(
    dataset="orders",
    table="orders_staging.orders",
    description="One row per order.",
    columns=(
        Column("id", BIGINT, "Identifier.", nullable=False),
        Column("number", INTEGER, "Number."),
        Column("created_at", TIMESTAMPTZ, "Instant.", source="created"),
        Column("price", NUMERIC(14, 2, rounded=True), "Price."),
        Column("exact", NUMERIC(14, 2), "Price, as delivered."),
        Column("is_test", BOOLEAN, "Whether it is a test.", source="test"),
        Column("line_items", JSONB, "Line items."),
        Column("note", TEXT, "Note."),
    ),
    prefix=THINGS.prefix,
    key=DAY_KEY,
    partition=Partition(column="day", unit="day"),
    records_key="orders",
)
DAY = "2021-04-01"
NAMES = ("id", "number", "created", "price", "exact", "test", "line_items", "note")
ROWS = "SELECT id, number, created_at, price, exact, is_test, line_items, note FROM orders_staging.orders ORDER BY id"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection(ORDERS) as opened:
        yield opened


def order(number: int, **fields: Any) -> dict[str, Any]:
    return dict.fromkeys(NAMES) | {"id": number} | fields


def lines(*orders: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in orders)


def put_lines(data: bytes) -> Any:
    return put(data, f"{DAY}.ndjson", DAY)


def rows_of(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute(ROWS).fetchall()


def rejected(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute("SELECT line_number, column_name, reason, raw FROM ledger.rejected_rows").fetchall()


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl", ".json"])
def test_formats_load_the_same_rows(postgres: Connection, suffix: str, compression: str) -> None:
    orders = [order(n, note=f"n{n}", line_items=[{"id": n, "x": None}]) for n in range(5)]
    data = json.dumps({"count": 5, "orders": orders}, indent=2).encode() if suffix == ".json" else lines(*orders)
    if compression:
        data = gzip.compress(data) if compression == ".gz" else pa.compress(data, codec="zstd", asbytes=True)
    receipt = load(postgres, put(data, DAY + suffix + compression, DAY), contract=ORDERS, settings=STRICT)
    assert (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == (5, 5, 0)
    assert [(row[0], row[6], row[7]) for row in rows_of(postgres)] == [
        (n, [{"id": n, "x": None}], f"n{n}") for n in range(5)
    ]


def test_values_arrive_exactly(postgres: Connection) -> None:
    data = (
        b'{"orders": [{"id": -9223372036854775808, "number": "-2147483648", "created": "2021-04-01T22:00:00-05:00",\n'
        b'"price": "130.64999999999998", "exact": 0.10, "test": false, "line_items": [{"p": 1.10, "q": 1e400}],'
        b' "note": ""},\n'
        b'{"id": 9223372036854775807, "number": 2147483647, "created": null, "price": -0.005,\n'
        b'"exact": "999999999999.990", "test": "true", "line_items": "{\\"a\\": [\\"\\\\u00e9\\"]}",'
        b' "note": "a\\u0001\\n\\"\\\\\\ud83d\\ude00"}]}'
    )
    receipt = load(postgres, put(data, f"{DAY}.json", DAY), contract=ORDERS, settings=STRICT)
    assert receipt.rows_loaded == 2
    texts = postgres.execute(
        "SELECT id, number, created_at::text, price::text, exact::text, is_test, line_items::text, note"
        " FROM orders_staging.orders ORDER BY id"
    ).fetchall()
    large = "1" + "0" * 400
    assert texts == [
        (-(2**63), -(2**31), "2021-04-02 03:00:00+00", "130.65", "0.10", False, f'[{{"p": 1.10, "q": {large}}}]', ""),
        (2**63 - 1, 2**31 - 1, None, "-0.01", "999999999999.99", True, '{"a": ["é"]}', 'a\x01\n"\\😀'),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "9223372036854775808"), ("id", "-9223372036854775809"), ("id", "1.0"), ("id", "1e3"), ("id", '"1 1"'),
        ("id", '"+-1"'), ("id", '"0x7"'), ("id", '"1_0"'), ("id", "true"), ("id", "[1]"), ("number", "2147483648"),
        ("price", "999999999999.995"), ("price", "1e400"), ("price", '"NaN"'), ("price", '"Infinity"'),
        ("price", '"1 5"'), ("price", '"1,5"'), ("price", '"0x1"'), ("price", '"1_000"'), ("price", '"."'),
        ("price", '"\\u0661"'), ("exact", "0.001"), ("exact", "1e-3"), ("exact", "1000000000000"), ("test", "2"),
        ("test", '"truth"'), ("line_items", '"x"'), ("line_items", '["\\u0000"]'), ("line_items", "[1e131072]"),
        ("line_items", "[1e-16384]"), ("note", '"\\u0000"'),
    ],
)  # fmt: skip
def test_value_that_postgres_cannot_hold_rejects_its_row_alone(postgres: Connection, name: str, value: str) -> None:
    bad = json.dumps(order(2)).replace(f'"{name}": {"2" if name == "id" else "null"}', f'"{name}": {value}').encode()
    assert value.encode() in bad
    load(postgres, put_lines(lines(order(1)) + bad + b"\n" + lines(order(3))), contract=ORDERS)
    assert [row[0] for row in rows_of(postgres)] == [1, 3]
    ((line, column, reason, raw),) = rejected(postgres)
    assert (line, raw) == (2, bad)
    assert (column, name in reason) in {(name, True), (None, False)}


@pytest.mark.parametrize(
    "value",
    ["[1e131071]", "[1e-16383]", "[1e9999]", '["\\\\u0000"]', "[" * 400 + "]" * 400, '["e99999"]', "{}", '"[]"'],
)
def test_value_at_the_edge_of_jsonb_is_held(postgres: Connection, value: str) -> None:
    data = json.dumps(order(1)).replace('"line_items": null', f'"line_items": {value}').encode()
    assert load(postgres, put_lines(data), contract=ORDERS, settings=STRICT).rows_loaded == 1


def test_decimal_rounds_half_away_from_zero(postgres: Connection) -> None:
    cases = {
        "0.005": "0.01",
        "-0.005": "-0.01",
        "0.0049999999999999999999": "0.00",
        "1.005": "1.01",
        "2.675": "2.68",
        "1e2": "100.00",
        "15E-3": "0.02",
        "-0": "0.00",
        "1e-400": "0.00",
        "999999999999.994": "999999999999.99",
    }
    load(postgres, put_lines(lines(*(order(n, price=text) for n, text in enumerate(cases)))), contract=ORDERS)
    assert [row[3] for row in rows_of(postgres)] == [Decimal(text) for text in cases.values()]


def test_damaged_line_rejects_only_itself(postgres: Connection) -> None:
    good = [lines(order(n)) for n in range(4)]
    damage = [b'{"id": 1,\n', b"\xff\n", b'{"id": "\xff"}\n', b"[]\n"]
    data = b"".join(part for pair in zip(good, damage, strict=True) for part in pair)
    receipt = load(postgres, put_lines(data), contract=ORDERS)
    assert (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == (8, 4, 4)
    assert [row[0] for row in rows_of(postgres)] == [0, 1, 2, 3]
    assert [(line, reason, raw) for line, _, reason, raw in rejected(postgres)] == [
        (2, "not JSON: Input data was truncated", b'{"id": 1,'),
        (4, "not UTF-8", b"\xff"),
        (6, "not UTF-8", b'{"id": "\xff"}'),
        (8, "expected a JSON object", b"[]"),
    ]


def test_truncated_document_loads_nothing(postgres: Connection) -> None:
    whole = json.dumps({"orders": [order(n) for n in range(3)]}, indent=1).encode()
    load(postgres, put(whole, f"{DAY}.json", DAY), contract=ORDERS)
    with pytest.raises(UnreadableObjectError, match=r"line 23: expected a complete value, but the document ends"):
        load(postgres, put(whole[:-20], f"{DAY}.json", DAY), contract=ORDERS)
    assert len(rows_of(postgres)) == 3


def test_empty_array_removes_all_rows_with_force(postgres: Connection) -> None:
    load(postgres, put(json.dumps({"orders": [order(1)]}).encode(), f"{DAY}.json", DAY), contract=ORDERS)
    empty = put(b'{"orders": []}', f"{DAY}.json", DAY)
    with pytest.raises(ShrinkError, match="found 0 rows"):
        load(postgres, empty, contract=ORDERS)
    receipt = load(postgres, empty, contract=ORDERS, force=True)
    assert (receipt.status, receipt.rows_read) == ("replaced", 0)
    assert rows_of(postgres) == []


def test_unknown_keys_are_reported_over_all_records(postgres: Connection) -> None:
    receipt = load(postgres, put_lines(lines(order(1, x=1), order(2), order(3, y={}, x=2))), contract=ORDERS)
    assert (receipt.rows_loaded, receipt.unknown_columns) == (3, ("x", "y"))


def test_key_that_no_record_has_fails_the_load(postgres: Connection) -> None:
    data = lines(order(1), order(2)).replace(b'"price"', b'"prize"')
    with pytest.raises(ContractError, match=r"missing price; .*price may be prize"):
        load(postgres, put_lines(data), contract=ORDERS)
    assert rows_of(postgres) == rejected(postgres) == []
    assert postgres.execute("SELECT * FROM ledger.loads").fetchall() == []
