"""The SQL of `orders_core` against the oracle: for any deliveries in any order, both must give the same tables."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orders_oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orders_oracle import Version
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from tasks.contracts.orders import ORDERS
from tasks.engine.build import sql_files
from tasks.engine.build.checks import run_checks
from tasks.engine.build.dispositions import write_affected_keys, write_query
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.partitions import ensure_partition
from tasks.engine.warehouse.tables import Connection, connect

KEYS = {
    "orders_table": "transaction_id",
    "order_details": "transaction_id, position",
    "users_table": "user_id",
    "user_months": "user_id, month",
}
# Two files of one year, and one of the year before: another partition in Postgres.
DAYS = (date(2020, 12, 31), date(2021, 1, 1), date(2021, 1, 2))
NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)
NAMES = [column.name for column in ORDERS.columns if column.name not in ("order_date", "utc_offset", "unknown_keys")]

# Few ids, users and instants, so that versions, changes of hands and ties are common.
instants = st.integers(0, 1).map(lambda hours: (NOON + timedelta(hours=hours)).isoformat())
# Both sides of midnight in UTC at the end of a month and of a year, and another month.
created = st.sampled_from(
    [
        "2020-12-31T23:59:59.999999+00:00",
        "2020-12-31T19:00:00-05:00",
        "2021-01-01T01:00:00+02:00",
        "2021-02-28T23:30:00-04:00",
    ]
)
items = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 3),
            "variant_id": st.none() | st.just(2**40),
            "product_id": st.none() | st.just(7),
            "quantity": st.integers(0, 3),
        }
    ),
    max_size=3,
)
orders = st.fixed_dictionaries(
    {
        "created_at": created,
        "updated_at": instants,
        "test": st.booleans(),
        "user_id": st.none() | st.integers(1, 2).map(lambda user: 9_000_000_000 + user),
        "email": st.sampled_from([None, "", "a@example.com"]),
        "phone": st.sampled_from([None, "", "1"]),
        "location_id": st.none() | st.integers(1, 2),
        "buyer_accepts_marketing": st.none() | st.booleans(),
        "checkout_id": st.none() | st.just(2**41),
        "name": st.sampled_from(["#1", "#2"]),
        "total_price": st.decimals(-5, 5, places=2).map(str),
        "line_items": st.none() | items,
    }
)
files = st.dictionaries(st.integers(2**33, 2**33 + 3), orders, max_size=4)
deliveries = st.lists(st.tuples(st.sampled_from(DAYS), files), min_size=1, max_size=5)


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "orders sql") as connection:
        apply_ddl(connection, [ORDERS], ["orders_core"])
        for day in DAYS:
            ensure_partition(connection, ORDERS, day)
        yield connection


def deliver(connection: Connection, day: date, load_id: int, file: list[dict[str, Any]]) -> None:
    """Put a file in the place of the day's."""
    connection.execute("DELETE FROM orders_staging.orders_raw WHERE file_date = %s", [day])
    columns = ["file_date", "load_id", "order_date", *NAMES]
    statement = sql.SQL("INSERT INTO orders_staging.orders_raw ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join([sql.Placeholder()] * len(columns))
    )
    for order in file:
        values = order | {"line_items": None if order["line_items"] is None else Jsonb(order["line_items"])}
        local = orders_oracle.local_date(order["created_at"])
        connection.execute(statement, [day, load_id, local, *(values[name] for name in NAMES)])


def build(connection: Connection, day: date) -> None:
    """What a build does, in the caller's transaction."""
    tables = [table for table in tables_of("orders_core") if table.text("query.sql")]
    for table in tables:
        write_affected_keys(connection, table, {"day": day})
    for table in tables:
        write_query(connection, table, {"day": day})
        assert [check for check in run_checks(connection, table, {"day": day}) if check.severity == "fail"] == []


def built(connection: Connection) -> dict[str, list[Any]]:
    statement = sql.SQL("SELECT * FROM {} ORDER BY ")
    return {
        name: connection.execute(statement.format(sql.Identifier("orders_core", name)) + sql.SQL(key)).fetchall()
        for name, key in KEYS.items()
    }


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(delivered=deliveries)
def test_tables_equal_the_current_files_after_any_sequence_of_deliveries(
    warehouse: Connection, delivered: list[tuple[date, dict[int, dict[str, Any]]]]
) -> None:
    current: dict[date, list[dict[str, Any]]] = {}
    with warehouse.transaction(force_rollback=True):
        for load_id, (day, file) in enumerate(delivered, 1):
            current[day] = [dict.fromkeys(NAMES) | order | {"id": key} for key, order in file.items()]
            deliver(warehouse, day, load_id, current[day])
            build(warehouse, day)
            versions = [Version(day, order) for day, file in current.items() for order in file]
            assert built(warehouse) == orders_oracle.tables(versions)


def test_days_that_were_loaded_before_any_was_built_end_the_same(warehouse: Connection) -> None:
    """As after a crash, or side by side: the builds come late, and in any order."""
    base = dict.fromkeys(NAMES) | {
        "id": 1,
        "created_at": NOON.isoformat(),
        "test": False,
        "line_items": [{"id": 1, "variant_id": None, "product_id": None, "quantity": 2}],
    }
    first = [base | {"updated_at": NOON.isoformat(), "user_id": 1}, base | {"id": 2, "updated_at": NOON.isoformat()}]
    second = [base | {"updated_at": (NOON + timedelta(1)).isoformat(), "user_id": 2}]
    wanted = orders_oracle.tables([Version(DAYS[0], o) for o in first] + [Version(DAYS[1], o) for o in second])
    for order in ([0, 1], [1, 0]):
        with warehouse.transaction(force_rollback=True):
            deliver(warehouse, DAYS[0], 1, first)
            deliver(warehouse, DAYS[1], 2, second)
            for place in order:
                build(warehouse, DAYS[place])
            assert built(warehouse) == wanted


def test_table_of_months_that_is_new_in_a_deployed_warehouse_counts_earlier_days(warehouse: Connection) -> None:
    base = dict.fromkeys(NAMES) | {"test": False, "line_items": [], "updated_at": NOON.isoformat()}
    days = {
        DAYS[0]: [{"id": 1, "created_at": "2020-11-30T12:00:00+00:00"}, {"id": 2, "created_at": NOON.isoformat()}],
        DAYS[1]: [{"id": 3, "created_at": NOON.isoformat()}, {"id": 4, "created_at": NOON.isoformat(), "user_id": 6}],
        DAYS[2]: [{"id": 5, "created_at": "2021-02-01T12:00:00+00:00"}],
    }
    with warehouse.transaction(force_rollback=True):
        current: list[Version] = []
        for load_id, (day, file) in enumerate(days.items(), 1):
            orders = [base | {"user_id": 5} | order for order in file]
            current += [Version(day, order) for order in orders]
            deliver(warehouse, day, load_id, orders)
            if day != DAYS[2]:
                build(warehouse, day)
        warehouse.execute("DELETE FROM orders_core.user_months")
        build(warehouse, DAYS[2])
        wanted = orders_oracle.tables(current)
        assert built(warehouse) == wanted | {"user_months": [row for row in wanted["user_months"] if row[0] == 5]}
        build(warehouse, DAYS[1])
        assert built(warehouse) == wanted


def test_affected_orders_is_an_input_of_each_table_that_is_built_from_it() -> None:
    for table in ("latest_orders", "order_details", "orders_table", "user_months", "users_table"):
        views = sql_files.views_of(sql_files.sql_table(f"orders_core.{table}"))
        assert "orders_core.affected_orders" in [view.name for view in views], table
