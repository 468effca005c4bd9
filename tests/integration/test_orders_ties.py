"""Versions of an order that tie: the quick queries choose and order them as the jsonb value of the whole row does."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from tasks.contracts.orders import ORDERS
from tasks.engine.build.dispositions import write_affected_keys, write_query
from tasks.engine.build.sql_files import SqlTable, sql_table
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.partitions import ensure_partition
from tasks.engine.warehouse.tables import Connection, connect

LATEST, EXPORT = sql_table("orders_core.latest_orders"), sql_table("orders_export.orders")
# The last two days are in another partition than the first.
DAYS = (date(2020, 12, 31), date(2021, 1, 1), date(2021, 1, 2))
NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)
WHOLE_ROW = "to_jsonb({}) - '{{load_id,line_number}}'::text[]"
_ITEMS: tuple[list[dict[str, Any]], ...] = (
    [],
    [{"id": 1}],
    [{"id": 1, "quantity": 2}],
    [{"id": 10}],
    [{"id": None}],
    [{"id": "1"}],
)
VALUES: dict[str, list[Any]] = {
    "bigint": [1, 2, 10, -1],
    "boolean": [False, True],
    "date": [DAYS[0], DAYS[1]],
    "jsonb": [Jsonb(items) for items in _ITEMS],
    "numeric": [Decimal(-1), Decimal("0.5"), Decimal(2), Decimal(10)],
    "text": ["", "a", "B", "ab", "ñ", "1", "10"],
    "timestamptz": [NOON, NOON + timedelta(milliseconds=500), NOON + timedelta(milliseconds=550), NOON + timedelta(1)],
}
OTHERS = [column for column in ORDERS.columns if column.name not in ("id", "updated_at")]


def sort_columns(table: SqlTable) -> list[str]:
    """The columns by which a query sorts."""
    ordered = table.text("query.sql").rpartition("ORDER BY")[2]
    return re.findall(r"^ +(\w+)", ordered, re.MULTILINE)


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "orders ties") as connection:
        apply_ddl(connection, [ORDERS], ["orders_core"])
        for day in DAYS:
            ensure_partition(connection, ORDERS, day)
        yield connection


def value_for(rng: random.Random, type_: str, *, nullable: bool) -> Any:
    return rng.choice(VALUES[type_.partition("(")[0]] + [None] * nullable)


def versions_of(rng: random.Random, order: int) -> Iterator[list[Any]]:
    """Versions of an order: most of them differ from the first in one column only, many in none of the leading keys."""
    first = {column.name: value_for(rng, column.type.postgres, nullable=column.nullable) for column in OTHERS}
    for line in range(rng.randrange(1, 5)):
        changed = rng.sample(OTHERS, rng.randrange(0, 3))
        others = first | {c.name: value_for(rng, c.type.postgres, nullable=c.nullable) for c in changed}
        updated = NOON + timedelta(hours=rng.choice((0, 0, 0, 1)))
        yield [rng.choice(DAYS), rng.choice((1, 2, 10)), line, order, updated, *others.values()]


@pytest.fixture
def ties(warehouse: Connection) -> Connection:
    """A warehouse with 400 orders, most of whose versions tie."""
    rng = random.Random(16)  # noqa: S311 - repeatable, not secret
    names = ["file_date", "load_id", "line_number", "id", "updated_at", *(column.name for column in OTHERS)]
    copy = sql.SQL("COPY orders_staging.orders_raw ({}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with warehouse.cursor().copy(copy) as rows:
        for order in range(2**33, 2**33 + 400):
            for row in versions_of(rng, order):
                rows.write_row(row)
    return warehouse


@pytest.mark.parametrize("table", [LATEST, EXPORT], ids=lambda table: table.name)
def test_sort_names_every_column_of_a_row_in_the_order_of_jsonb_keys(table: SqlTable) -> None:
    """A column that the contract gains decides a tie as well."""
    rest = sorted((column.name for column in OTHERS), key=lambda name: (len(name), name))
    keys = {LATEST.name: ["id", "updated_at", "file_date"], EXPORT.name: ["file_date", "id", "updated_at"]}
    last = {LATEST.name: ["load_id"], EXPORT.name: []}
    assert sort_columns(table) == [*keys[table.name], *rest, *last[table.name]]


def test_latest_orders_are_those_of_the_sort_by_the_whole_row(ties: Connection) -> None:
    tied = ties.execute(
        "SELECT count(*) FROM (SELECT FROM orders_staging.orders_raw GROUP BY id, updated_at, file_date"
        " HAVING count(*) > 1) AS ties"
    ).fetchone()
    assert tied
    assert tied[0] > 100
    columns = [
        name
        for (name,) in ties.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'orders_core.latest_orders'::regclass AND attnum > 0"
        )
    ]
    sources = {"order_id": "id", "is_test": "test"}
    wanted = sql.SQL(
        "SELECT DISTINCT ON (v.id) {} FROM orders_staging.orders_raw AS v ORDER BY v.id, v.updated_at DESC,"
        " v.file_date DESC, {} DESC, v.load_id DESC"
    ).format(
        sql.SQL(", ").join(sql.Identifier("v", sources.get(name, name)) for name in columns),
        sql.SQL(WHOLE_ROW.format("v")),
    )
    with ties.transaction():
        for day in DAYS:
            write_affected_keys(ties, LATEST, {"day": day})
            write_query(ties, LATEST, {"day": day})
        built = ties.execute("SELECT * FROM orders_core.latest_orders ORDER BY order_id").fetchall()
    assert built == ties.execute(wanted).fetchall()


def test_exported_orders_have_the_order_of_the_sort_by_the_whole_row(ties: Connection) -> None:
    days = {"first_day": DAYS[0], "last_day": DAYS[-1]}
    quick = EXPORT.text("query.sql")
    slow = quick.rpartition("ORDER BY")[0]
    slow += f"ORDER BY file_date, id, updated_at, {WHOLE_ROW.format('orders_raw')}"
    found = ties.execute(quick.encode(), days).fetchall()
    assert found == ties.execute(slow.encode(), days).fetchall()
