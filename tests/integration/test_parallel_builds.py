"""Builds of large queries: parallel workers select the rows, and every table equals that of a build without workers."""

import shutil
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from pydantic import SecretStr

from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.dispositions import write_affected_keys, write_query
from tasks.engine.build.sql_files import sql_table
from tasks.engine.errors import SqlFileError, WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

DAY = date(2021, 4, 1)
PARALLEL = """
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2
"""
TABLES = {
    "orders/table.sql": """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.orders (day date NOT NULL, product text, n int);
""",
    "sales/table.sql": """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.sales (
    day date NOT NULL,
    product varchar(8) COLLATE "C" NOT NULL,
    amount numeric(14, 2),
    doubled bigint GENERATED ALWAYS AS (order_count * 2) STORED,
    number bigint GENERATED ALWAYS AS IDENTITY,
    note text NOT NULL DEFAULT 'none',
    order_count bigint NOT NULL,
    CONSTRAINT sales_day_product_pk PRIMARY KEY (day, product)
);
""",
    "sales/affected_keys.sql": """\
-- sources: shop.orders
SELECT orders.day, coalesce(orders.product, 'unknown')::varchar(8) AS product
FROM shop.orders WHERE orders.day = %(day)s
""",
}
QUERY = """\
-- key: day, product
-- sources: shop.orders
-- write disposition: {}
SELECT
    orders.day,
    coalesce(orders.product, 'unknown')::varchar(7) AS product,
    sum(orders.n)::numeric(14, 2) AS amount,
    count(*)::integer AS order_count
FROM shop.orders WHERE orders.day = %(day)s
GROUP BY orders.day, coalesce(orders.product, 'unknown')
"""
DISPOSITIONS = [
    "replace table",
    "replace partition (day)",
    "merge by (day, product)",
    "append",
    "append, change all but (product)",
]
WRITTEN = "SELECT day, product, amount, doubled, note, order_count FROM shop.sales ORDER BY day, product"


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "parallel builds") as connection:
        yield connection


def make(root: Path, connection: Connection, disposition: str, query: str = QUERY) -> None:
    shutil.copytree(sql_files.ROOT / "ledger", root / "ledger")
    for file, text in TABLES.items():
        if file != "sales/affected_keys.sql" or disposition.startswith("merge"):
            put(root, file, text)
    put(root, "sales/query.sql", query.replace("{}", disposition))
    apply_ddl(connection, [], ["shop"], root)
    connection.execute(
        "INSERT INTO shop.orders SELECT %s, CASE WHEN i %% 5 > 0 THEN 'p' || i %% 5 END, i FROM generate_series(1, 500)"
        " AS i",
        [DAY],
    )
    connection.execute("INSERT INTO shop.orders VALUES ('2021-04-02', 'other', 1)")


def put(root: Path, file: str, text: str) -> None:
    path = root / "shop" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rows(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(WRITTEN).fetchall()


def written(connection: Connection, root: Path) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows that a build writes, and whether workers selected them; the transaction is rolled back."""
    table = sql_table("shop.sales", root)
    with connection.transaction(force_rollback=True):
        write_affected_keys(connection, table, {"day": DAY})
        write_query(connection, table, {"day": DAY})
        is_parallel = connection.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname = 'result_sales' AND relpersistence = 't')"
        ).fetchone() == (False,)
        return rows(connection), is_parallel


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_workers_write_the_same_rows(disposition: str, connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, disposition)
    connection.execute("SET max_parallel_workers_per_gather = 0")
    expected, _ = written(connection, tmp_path)
    connection.execute(PARALLEL)
    assert written(connection, tmp_path) == (expected, True)
    assert len(expected) == 5
    build_tables(connection, "shop", {"day": DAY}, partition="2021-04-01", root=tmp_path)
    assert rows(connection) == expected


def test_small_query_needs_no_temporary_table(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, "replace partition (day)")
    found, is_parallel = written(connection, tmp_path)
    assert (len(found), is_parallel) == (5, False)


def test_second_build_in_a_session_replaces_the_first(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, "replace partition (day)")
    connection.execute(PARALLEL)
    build = partial(build_tables, connection, "shop", {"day": DAY}, partition="2021-04-01", root=tmp_path, force=True)
    with connection.transaction():
        build()
        connection.execute("DELETE FROM shop.orders WHERE product = 'p1'")
        build()
    assert [row[1] for row in rows(connection)] == ["p2", "p3", "p4", "unknown"]


def test_literal_without_a_type_takes_the_type_of_the_column(connection: Connection, tmp_path: Path) -> None:
    query = QUERY.replace("sum(orders.n)::numeric(14, 2) AS amount", "'1.5' AS amount, NULL AS note")
    make(tmp_path, connection, "append", query.replace("NULL AS note", "'' AS note"))
    connection.execute(PARALLEL)
    found, _ = written(connection, tmp_path)
    assert {str(row[2]) for row in found} == {"1.50"}


def test_value_that_is_too_long_for_its_column_still_fails(connection: Connection, tmp_path: Path) -> None:
    make(
        tmp_path,
        connection,
        "replace partition (day)",
        QUERY.replace("coalesce(orders.product, 'unknown')::varchar(7)", "'much too long'"),
    )
    connection.execute(PARALLEL)
    with pytest.raises(WarehouseError, match="value too long for type character varying"):
        written(connection, tmp_path)


def test_rows_of_another_partition_are_refused(connection: Connection, tmp_path: Path) -> None:
    make(
        tmp_path,
        connection,
        "replace partition (day)",
        QUERY.replace("WHERE orders.day = %(day)s", "WHERE %(day)s IS NOT NULL"),
    )
    connection.execute(PARALLEL)
    with pytest.raises(SqlFileError, match=r"expects rows whose day is 2021-04-01, found 1 other rows"):
        written(connection, tmp_path)


def test_temporary_table_has_the_types_and_collations_of_the_table(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, "append")
    connection.execute(PARALLEL)
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod), attcollation::regcollation::text FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attname = ANY(%s) ORDER BY attname"
    )
    with connection.transaction(force_rollback=True):
        write_query(connection, sql_table("shop.sales", tmp_path), {"day": DAY})
        names = ["day", "product", "amount", "order_count"]
        found = connection.execute(columns, ["pg_temp.result_sales", names]).fetchall()
        assert found == connection.execute(columns, ["shop.sales", names]).fetchall()
    assert ("product", "character varying(8)", '"C"') in found


def test_role_without_temporary_tables_builds_without_workers(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, "replace partition (day)")
    connection.execute(PARALLEL)
    database = sql.Identifier(connection.info.dbname)
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC, CURRENT_USER").format(database))
        found, is_parallel = written(connection, tmp_path)
    assert (len(found), is_parallel) == (5, False)


def test_check_passes_no_rows_from_workers_in_its_expected_cost(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, connection, "replace partition (day)")
    put(
        tmp_path,
        "sales/checks.sql",
        "-- fail: rows of workers cost something\n"
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = 'parallel_tuple_cost' AND setting <> '0';\n",
    )
    build_tables(connection, "shop", {"day": DAY}, partition="2021-04-01", root=tmp_path)
    assert len(rows(connection)) == 5
    assert connection.execute("SHOW parallel_tuple_cost").fetchone() == ("0.1",)
