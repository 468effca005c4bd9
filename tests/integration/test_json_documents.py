"""A pipeline on nested JSON: paths as sources, a page of an API, a replay, and a nested array as a child table."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sample_dataset import THINGS, connection, load, put

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import BIGINT, NUMERIC, TEXT
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.explain.explanation import explain_row
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

PURCHASES = Contract(
    dataset="purchases",
    table="purchases_staging.purchases",
    description="One row per purchase.",
    columns=(
        Column("purchase_id", BIGINT, "Identifier.", source="id", nullable=False),
        Column("city", TEXT, "City of the buyer.", source="buyer.address.city"),
        Column("first_sku", TEXT, "Article of the first item.", source="items[0].sku"),
        Column("items", JSONB, "All items."),
        Column("other", JSONB, "Other keys.", source=UNKNOWN_KEYS),
    ),
    prefix=THINGS.prefix,
    key=THINGS.key,
    partition=THINGS.partition,
    records_key="data.purchases",
)
TABLE = """-- sources: none
-- write disposition: replace partition (month)
CREATE TABLE IF NOT EXISTS purchases_core.purchase_items (
    month date, purchase_id bigint, position integer, sku text, quantity integer, price numeric(14, 2),
    PRIMARY KEY (month, purchase_id, position)
);
"""
QUERY = """-- grain: one item of a purchase
-- key: month, purchase_id, position
-- parameters: month
-- sources: purchases_staging.purchases
-- write disposition: replace partition (month)
SELECT
    purchases.month,
    purchases.purchase_id,
    item.position::integer AS position,
    item.fields ->> 'sku' AS sku,
    (item.fields ->> 'quantity')::integer AS quantity,
    (item.fields ->> 'price')::numeric(14, 2) AS price
FROM purchases_staging.purchases
CROSS JOIN LATERAL jsonb_array_elements(purchases.items) WITH ORDINALITY AS item (fields, position)
WHERE purchases.month = %(month)s
"""
TRACE = """-- from: purchases_staging.purchases
SELECT
    purchases.tableoid,
    purchases.ctid,
    purchases AS source_row
FROM purchases_staging.purchases
WHERE purchases.month = %(month)s AND purchases.purchase_id = %(purchase_id)s;
"""
RECORDS: list[dict[str, Any]] = [
    {
        "id": 1,
        "buyer": {"address": {"city": "Łódź", "zip": "90-001"}, "name": "A"},
        "items": [{"sku": "x", "quantity": 2, "price": 0.10}, {"sku": "y", "quantity": 1, "price": 3}],
    },
    {"id": 2, "buyer": None, "items": []},
    {"id": 3, "buyer": {"address": "Main Street 1"}, "items": [{"sku": "z", "quantity": 1, "price": "7.5"}]},
    {"id": 4, "items": None, "note": "n"},
]
PAGE = json.dumps({"meta": {"page": 1}, "data": {"total": 4, "purchases": RECORDS}}, indent=1).encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    folder = tmp_path / "purchases_core" / "purchase_items"
    folder.mkdir(parents=True)
    (folder / "table.sql").write_text(TABLE)
    (folder / "query.sql").write_text(QUERY)
    (folder / "trace.sql").write_text(TRACE)
    return tmp_path


@pytest.fixture
def postgres(database: str, bucket: str, root: Path) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        apply_ddl(opened, [PURCHASES], ["purchases_core"], root)
        yield opened


def staged(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute(
        "SELECT purchase_id, city, first_sku, line_number, other FROM purchases_staging.purchases ORDER BY 1"
    ).fetchall()


def test_page_of_an_api_is_loaded_by_paths_and_replayed(postgres: Connection) -> None:
    receipt = load(postgres, put(PAGE, "2021/04/things.json"), contract=PURCHASES)
    assert (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == (4, 3, 1)
    assert receipt.unknown_columns == ("buyer.address.zip", "buyer.name", "note")
    lines = [PAGE.count(b"\n", 0, PAGE.index(b'"id": %d' % n)) for n in (1, 2, 4)]  # the brace is a line above
    assert staged(postgres) == [
        (1, "Łódź", "x", lines[0], {"buyer": {"address": {"zip": "90-001"}, "name": "A"}}),
        (2, None, None, lines[1], None),
        (4, None, None, lines[2], {"note": "n"}),
    ]
    ((column, code, reason, raw),) = postgres.execute(
        "SELECT column_name, reason_code, reason, raw FROM ledger.rejected_rows"
    ).fetchall()
    assert (column, code) == ("buyer.address.city", "wrong_type_on_path")
    assert reason == "buyer.address.city: expected an object at buyer.address, found a text"
    assert json.loads(raw) == RECORDS[2]

    city = replace(PURCHASES.columns[1], source="buyer.address.city", aliases=("buyer.address",))
    fixed = replace(PURCHASES, columns=(PURCHASES.columns[0], city, *PURCHASES.columns[2:]))
    (rejected,) = rejected_loads(postgres, "purchases", "2021-04")
    replayed = replay_load(postgres, fixed, rejected)
    assert (replayed.rows_loaded, replayed.rows_left) == (1, 0)
    assert staged(postgres)[2][:3] == (3, "Main Street 1", "z")


def test_nested_array_becomes_a_child_table_that_explains_its_rows(postgres: Connection, root: Path) -> None:
    load(postgres, put(PAGE, "2021/04/things.json"), contract=PURCHASES)
    april = {"month": date(2021, 4, 1)}
    build_tables(postgres, "purchases_core", april, partition="2021-04", contracts=[PURCHASES], root=root)
    rows = postgres.execute(
        "SELECT purchase_id, position, sku, quantity, price::text FROM purchases_core.purchase_items ORDER BY 1, 2"
    ).fetchall()
    assert rows == [(1, 1, "x", 2, "0.10"), (1, 2, "y", 1, "3.00")]
    key = {"month": "2021-04-01", "purchase_id": "1", "position": "2"}
    explanation = explain_row(postgres, "purchases_core.purchase_items", key, [PURCHASES], root)
    (origin,) = explanation.origins.shown
    begin = PAGE.index(b'"id": 1')
    assert (origin.source_uri[-19:], origin.lines) == ("2021/04/things.json", (PAGE.count(b"\n", 0, begin),))


@pytest.mark.parametrize("source", ["price", "items[0].price", "items[0].detail.price"])
def test_numbers_at_paths_are_exact(database: str, bucket: str, source: str) -> None:
    del database, bucket
    contract = replace(
        PURCHASES, columns=(Column("price", NUMERIC(20, 17), "Price.", source=source),), absent_keys="null"
    )
    number = "0.12345678901234567"
    item = f'{{"price": {number}, "detail": {{"price": {number}}}}}'
    data = f'{{"data": {{"purchases": [{{"price": {number}, "items": [{item}]}}]}}}}'.encode()
    with connection() as postgres:
        apply_ddl(postgres, [contract], [])
        load(postgres, put(data, "2021/04/things.json"), contract=contract)
        assert postgres.execute("SELECT price::text FROM purchases_staging.purchases").fetchall() == [(number,)]
