"""The SQL of `commerce_analytics` against the oracle, on random shops: both must give the same rows for each shop."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from commerce_oracle import SCHEMAS, Shop, answers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row
from pydantic import SecretStr

from tasks.contracts.commerce import COMMERCE
from tasks.engine.build.checks import run_checks
from tasks.engine.build.dispositions import write_query
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect, table_name

ADDRESSES = {name: f"{'if_common' if name.startswith('dim') else 'commerce_staging'}.{name}" for name in SCHEMAS}
FIRST = date(2023, 1, 1)
CALENDAR = [FIRST + timedelta(days) for days in range(820)]

# Few products and days, so that ties are common; lags and ages around the boundaries.
days = st.dates(date(2023, 2, 1), date(2025, 3, 10)) | st.sampled_from(
    [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2023, 2, 28), date(2023, 3, 1), date(2024, 3, 29)]
)
products = st.integers(1, 4)
orders = st.lists(st.tuples(products, days, st.none() | st.integers(1, 3)), max_size=14)
reviews = st.lists(st.tuples(st.integers(1, 5), products), max_size=12)
shipments = st.tuples(st.none() | st.integers(3, 9), st.none() | st.integers(0, 4))


@st.composite
def shops(draw: st.DrawFn) -> tuple[Shop, date]:
    """A shop, and an as-of date on or around a boundary of one of its orders."""
    ordered = [(number, *order) for number, order in enumerate(draw(orders), 1)]
    shipped = []
    for number, _, day, _ in ordered:
        if draw(st.integers(0, 9)):
            lag, way = draw(shipments)
            shipment = None if lag is None else day + timedelta(lag)
            delivery = None if shipment is None or way is None else shipment + timedelta(way)
            shipped.append((number, number, shipment, delivery))
    holidays = draw(st.sets(st.sampled_from([day for _, _, day, _ in ordered] or [FIRST])))
    calendar = [(d, d.isoweekday(), d.isoweekday() < 6 and d not in holidays) for d in CALENDAR]
    rows = {
        "orders": ordered,
        "reviews": draw(reviews),
        "shipment_deliveries": shipped,
        "dim_products": [(number, f"product {number}") for number in draw(st.sets(products))],
        "dim_dates": calendar,
    }
    shop = Shop(**{name: pl.DataFrame(rows[name], SCHEMAS[name], orient="row") for name in SCHEMAS})
    anchors = [day for _, _, day, _ in ordered] or [date(2024, 2, 29)]
    as_of = draw(st.sampled_from(anchors)) + timedelta(draw(st.sampled_from([0, -1, 14, 15, 16, 364, 365, 366, 367])))
    return shop, as_of


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "commerce sql") as connection:
        apply_ddl(connection, COMMERCE, ["if_common", "commerce_analytics"])
        yield connection


def fill(connection: Connection, table: str, frame: pl.DataFrame) -> None:
    columns = [*frame.columns, *(["load_id"] if table.startswith("commerce_staging") else [])]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        table_name(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor().copy(statement) as copy:
        for row in frame.iter_rows():
            copy.write_row((*row, *([1] if len(columns) > len(row) else [])))


def built(connection: Connection, as_of: date) -> dict[str, dict[str, Any]]:
    found = {}
    for table in tables_of("commerce_analytics"):
        parameters = {"ingestion_date": as_of}
        write_query(connection, table, parameters)
        assert [check for check in run_checks(connection, table, parameters) if check.severity == "fail"] == []
        with connection.cursor(row_factory=dict_row) as cursor:
            (row,) = cursor.execute(sql.SQL("SELECT * FROM {}").format(table_name(table.name))).fetchall()
        found[table.name.split(".")[1]] = row
    return found


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(case=shops())
def test_sql_and_oracle_agree_on_random_shops(warehouse: Connection, case: tuple[Shop, date]) -> None:
    shop, as_of = case
    with warehouse.transaction(force_rollback=True):
        for name, table in ADDRESSES.items():
            fill(warehouse, table, getattr(shop, name))
        assert built(warehouse, as_of) == answers(shop, as_of)
