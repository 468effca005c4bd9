"""DDL, builds that replace, and checks, in a real Postgres, on small tables and on the project's own."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sample_dataset import THINGS

from tasks.contracts.catalog import contracts
from tasks.engine import ledger
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.checks import run_checks
from tasks.engine.build.dispositions import write_query
from tasks.engine.build.sql_files import sql_table, tables_of
from tasks.engine.errors import CheckError, SqlFileError, WarehouseError
from tasks.engine.receipts import BuildReceipt, ObjectRef
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.partitions import ensure_partition
from tasks.engine.warehouse.tables import Connection, connect, lock

DAY = date(2021, 4, 1)
ORDERS = """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.orders (day date NOT NULL, product text NOT NULL);
"""
SALES = """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.sales (day date NOT NULL, product text NOT NULL, order_count bigint NOT NULL);
"""
SALES_QUERY = """\
-- key: day, product
-- sources: shop.orders
-- write disposition: replace partition (day)
SELECT orders.day, orders.product, count(*) AS order_count
FROM shop.orders WHERE orders.day = %(day)s GROUP BY orders.day, orders.product
"""
TOTALS = "CREATE TABLE IF NOT EXISTS shop.a_totals (day date NOT NULL, order_count bigint NOT NULL);\n"
TOTALS_QUERY = """\
-- key: day
-- sources: shop.sales
-- write disposition: replace table
SELECT sales.day, sum(sales.order_count)::bigint AS order_count FROM shop.sales GROUP BY sales.day;
"""
SHOP = {
    "orders/table.sql": ORDERS,
    "sales/table.sql": SALES,
    "sales/query.sql": SALES_QUERY,
    "a_totals/table.sql": TOTALS,
    "a_totals/query.sql": TOTALS_QUERY,
}
FEW = "-- {}: at most two orders\nSELECT * FROM shop.a_totals WHERE order_count > 2;\n"

Connect = Callable[[], AbstractContextManager[Connection]]


@pytest.fixture
def open_connection(database: str) -> Connect:
    return lambda: connect(WarehouseSettings(dsn=SecretStr(database)), "sql files")


@pytest.fixture
def connection(open_connection: Connect) -> Iterator[Connection]:
    with open_connection() as connection:
        yield connection


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the real ledger and a small shop: `a_totals` is built from `sales`, and `sales` from `orders`."""
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for file, text in SHOP.items():
        put(tmp_path, file, text)
    return tmp_path


@pytest.fixture
def shop(root: Path, connection: Connection) -> Connection:
    apply_ddl(connection, [], ["shop"], root)
    connection.execute("INSERT INTO shop.orders VALUES (%s, 'pen'), (%s, 'pen')", [DAY, DAY])
    return connection


def put(root: Path, file: str, text: str) -> None:
    path = root / "shop" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rows(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM shop.{table} ORDER BY 1, 2").fetchall()


def build(connection: Connection, root: Path, *, force: bool = False) -> list[BuildReceipt]:
    return build_tables(
        connection, "shop", {"day": DAY}, partition="2021-04-01", datasets=["orders"], force=force, root=root
    )


def statuses(receipts: list[BuildReceipt]) -> dict[str, str]:
    return {receipt.table: receipt.status for receipt in receipts}


# DDL


ADDRESSES = sorted(".".join(path.parent.parts[-2:]) for path in sql_files.ROOT.glob("*/*/table.sql"))
SCHEMAS = sorted({address.partition(".")[0] for address in ADDRESSES})


def test_ddl_of_the_project_is_applied_once(connection: Connection) -> None:
    known = list(contracts().values())
    applied = apply_ddl(connection, known, SCHEMAS)
    assert applied.index("ledger") < applied.index("ledger.loads")
    assert {*ADDRESSES, *(contract.table for contract in known)} <= set(applied)
    assert all(applied.index(contract.table) > applied.index("ledger.loads") for contract in known)
    assert apply_ddl(connection, known, SCHEMAS) == []


def test_ddl_is_idempotent_where_the_ledger_forgot_it(connection: Connection, root: Path) -> None:
    applied = apply_ddl(connection, [THINGS], ["shop"], root)
    connection.execute("TRUNCATE ledger.applied_files")
    again = apply_ddl(connection, [THINGS], ["shop"], root)
    assert again == [name for name in applied if "." in name]  # an existing schema does not change


def test_only_changed_ddl_is_applied(connection: Connection, root: Path) -> None:
    apply_ddl(connection, [], ["shop"], root)
    put(root, "sales/table.sql", f"{SALES}COMMENT ON TABLE shop.sales IS 'changed';\n")
    assert apply_ddl(connection, [], ["shop"], root) == ["shop.sales"]
    assert connection.execute("SELECT obj_description('shop.sales'::regclass)").fetchone() == ("changed",)
    assert apply_ddl(connection, [], ["shop"], root) == []


def test_ddl_of_another_schema_is_added(connection: Connection, root: Path) -> None:
    apply_ddl(connection, [], [], root)
    assert apply_ddl(connection, [], ["shop"], root) == ["shop", "shop.orders", "shop.sales", "shop.a_totals"]


def test_broken_ddl_applies_nothing_and_is_named(connection: Connection, root: Path) -> None:
    put(root, "sales/table.sql", "CREATE TABLE shop.sales (day dat);\n")
    with pytest.raises(WarehouseError, match=r"42704.*type \"dat\" does not exist \(DDL of shop.sales\)"):
        apply_ddl(connection, [], ["shop"], root)
    assert connection.execute("SELECT to_regnamespace('shop'), to_regnamespace('ledger')").fetchone() == (None, None)


def test_per_cent_sign_in_ddl_is_taken_as_it_is(connection: Connection, root: Path) -> None:
    put(root, "sales/table.sql", f"{SALES}COMMENT ON TABLE shop.sales IS '100 %, %s, %(day)s';\n")
    apply_ddl(connection, [], ["shop"], root)
    assert connection.execute("SELECT obj_description('shop.sales'::regclass)").fetchone() == ("100 %, %s, %(day)s",)


def test_ddl_applied_by_two_at_once_is_applied_by_one(
    open_connection: Connect, connection: Connection, root: Path
) -> None:
    def apply() -> list[str]:
        with open_connection() as own:
            return apply_ddl(own, [THINGS], ["shop"], root)

    with ThreadPoolExecutor(2) as pool:
        with connection.transaction():
            lock(connection, "ddl")
            futures = [pool.submit(apply) for _ in range(2)]  # both find no ledger, and meet at the lock
            wait_for_waiting(open_connection, 2)
        first, second = sorted((future.result(timeout=30) for future in futures), key=len)
    assert first == []
    assert {"ledger.loads", "things_staging.things", "shop.a_totals"} <= set(second)


def wait_for_waiting(open_connection: Connect, count: int) -> None:
    """Wait until a number of sessions wait for an advisory lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with open_connection() as observer:
        for _ in range(500):
            if observer.execute(waiting).fetchone() == (count,):
                return
            time.sleep(0.02)
    raise AssertionError(f"expected {count} sessions to wait for the lock")


def test_partition_made_by_two_at_once_is_made_once(open_connection: Connect, connection: Connection) -> None:
    apply_ddl(connection, [THINGS], [])

    def ensure() -> str:
        with open_connection() as own:
            return ensure_partition(own, THINGS, DAY)

    with ThreadPoolExecutor(2) as pool:
        with connection.transaction():
            lock(connection, "partitions of things_staging.things")
            futures = [pool.submit(ensure) for _ in range(2)]
            wait_for_waiting(open_connection, 2)
        assert [future.result(timeout=30) for future in futures] == ["things_staging.things_2021_04"] * 2


def name_errors(connection: Connection, schemas: list[str]) -> list[str]:
    """Constraints and indexes that are not called `<table>_<columns>_<kind>`; one column is enough for a check."""
    found = connection.execute(
        """
        SELECT t.relname, c.conname, c.contype::text,
            ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
                INNER JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum ORDER BY k.n)
        FROM pg_constraint AS c INNER JOIN pg_class AS t ON c.conrelid = t.oid
        WHERE t.relnamespace::regnamespace::text = ANY(%(schemas)s) AND c.contype IN ('p', 'u', 'f', 'c', 'x')
        UNION ALL
        SELECT t.relname, i.relname, CASE WHEN x.indisunique THEN 'u' ELSE 'i' END,
            ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int[]) WITH ORDINALITY AS k (attnum, n)
                INNER JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum ORDER BY k.n)
        FROM pg_index AS x
        INNER JOIN pg_class AS i ON x.indexrelid = i.oid INNER JOIN pg_class AS t ON x.indrelid = t.oid
        WHERE t.relnamespace::regnamespace::text = ANY(%(schemas)s)
            AND NOT EXISTS (SELECT 1 FROM pg_constraint AS c WHERE c.conindid = i.oid AND c.conrelid = t.oid)
        ORDER BY 1, 2
        """,
        {"schemas": schemas},
    )
    suffixes = {"p": "pk", "u": "uk", "f": "fk", "i": "ix", "c": "ck", "x": "ex"}
    errors = []
    for table, name, kind, columns in found:
        wanted = [columns, *([column] for column in columns)] if kind == "c" else [columns]
        names = [_name(table, some, suffixes[kind]) for some in wanted]
        if name not in names:
            errors.append(f"expected one of {names}, found {name}")
    return errors


def _name(table: str, columns: list[str], suffix: str) -> str:
    """The expected name; without the last columns if the whole name is longer than Postgres allows."""
    name = "_".join([table, *columns, suffix])
    return name if len(name) < 64 else _name(table, columns[:-1], suffix)


def test_constraints_are_named_after_table_columns_and_kind(connection: Connection) -> None:
    schemas = sorted({path.parent.parent.name for path in sql_files.ROOT.glob("*/*/table.sql")})
    apply_ddl(connection, list(contracts().values()), schemas)
    assert name_errors(connection, schemas) == []


def test_constraint_with_another_name_is_an_error(shop: Connection) -> None:
    shop.execute(
        "CREATE TABLE shop.bad (a int PRIMARY KEY, b int, c int, CONSTRAINT bad_c_ck CHECK (b > c),"
        " CONSTRAINT bad_positive_ck CHECK (b > 0), CONSTRAINT bad_b_c_uk UNIQUE (b, c), CONSTRAINT bad_a_fk"
        " FOREIGN KEY (b) REFERENCES shop.bad (a), UNIQUE (c)); CREATE UNIQUE INDEX bad_a_b_ix ON shop.bad (a, b);"
        " CREATE INDEX bad_c_ix ON shop.bad (c)"
    )
    assert name_errors(shop, ["shop"]) == [
        "expected one of ['bad_a_b_uk'], found bad_a_b_ix",
        "expected one of ['bad_b_fk'], found bad_a_fk",
        "expected one of ['bad_c_uk'], found bad_c_key",
        "expected one of ['bad_a_pk'], found bad_pkey",
        "expected one of ['bad_b_ck', 'bad_b_ck'], found bad_positive_ck",
    ]


# Builds


def test_tables_are_built_after_those_that_they_read(shop: Connection, root: Path) -> None:
    assert [table.name for table in tables_of("shop", root)] == ["shop.orders", "shop.sales", "shop.a_totals"]
    receipts = build(shop, root)
    assert [(r.table, r.partition, r.status, r.row_count, r.warnings) for r in receipts] == [
        ("shop.sales", "2021-04-01", "built", 1, ()),
        ("shop.a_totals", "2021-04-01", "built", 1, ()),
    ]
    assert rows(shop, "sales") == [(DAY, "pen", 2)]
    assert rows(shop, "a_totals") == [(DAY, 2)]


def test_unchanged_tables_are_skipped(shop: Connection, root: Path) -> None:
    build(shop, root)
    shop.execute("UPDATE shop.sales SET product = 'touched'")
    receipts = build(shop, root)
    assert [(r.table, r.status, r.row_count, r.seconds) for r in receipts] == [
        ("shop.sales", "unchanged", 1, 0.0),
        ("shop.a_totals", "unchanged", 1, 0.0),
    ]
    assert rows(shop, "sales") == [(DAY, "touched", 2)]


def test_force_builds_what_is_unchanged(shop: Connection, root: Path) -> None:
    build(shop, root)
    shop.execute("UPDATE shop.sales SET product = 'touched'")
    assert set(statuses(build(shop, root, force=True)).values()) == {"built"}
    assert rows(shop, "sales") == [(DAY, "pen", 2)]


def test_new_load_of_the_partition_builds_again(shop: Connection, root: Path) -> None:
    build(shop, root)
    ledger.open_load(shop, "orders", ObjectRef("s3://lake/2", "v1", 1, "2021-04-02"), None)
    ledger.open_load(shop, "customers", ObjectRef("s3://lake/3", "v1", 1, "2021-04-01"), None)
    assert set(statuses(build(shop, root)).values()) == {"unchanged"}
    ledger.open_load(shop, "orders", ObjectRef("s3://lake/1", "v1", 1, "2021-04-01"), None)
    assert set(statuses(build(shop, root)).values()) == {"built"}


@pytest.mark.parametrize("file", ["query.sql", "checks.sql"])
def test_changed_file_builds_its_table_and_those_that_read_it(file: str, shop: Connection, root: Path) -> None:
    put(root, "sales/checks.sql", "-- warn: a\nSELECT 1 WHERE false;\n")
    build(shop, root)
    path = root / "shop" / "sales" / file
    path.write_text(path.read_text().replace("count(*)", "2 * count(*)").replace("WHERE false", "LIMIT 0"))
    assert statuses(build(shop, root)) == {"shop.sales": "built", "shop.a_totals": "built"}
    assert rows(shop, "a_totals") == [(DAY, rows(shop, "sales")[0][2])]


def test_changed_file_leaves_the_tables_that_it_reads(shop: Connection, root: Path) -> None:
    build(shop, root)
    put(root, "a_totals/query.sql", TOTALS_QUERY.replace("sum(", "2 * sum("))
    assert statuses(build(shop, root)) == {"shop.sales": "unchanged", "shop.a_totals": "built"}
    assert rows(shop, "a_totals") == [(DAY, 4)]


def test_partition_is_replaced_and_others_are_left(shop: Connection, root: Path) -> None:
    other = date(2021, 4, 2)
    shop.execute("INSERT INTO shop.sales VALUES (%s, 'stale', 9), (%s, 'other', 1)", [DAY, other])
    shop.execute("INSERT INTO shop.a_totals VALUES (%s, 99)", [date(2020, 1, 1)])
    build(shop, root)
    assert rows(shop, "sales") == [(DAY, "pen", 2), (other, "other", 1)]
    assert rows(shop, "a_totals") == [(DAY, 2), (other, 1)]  # replace table: no earlier row is left


def test_failing_check_leaves_all_tables_as_they_were(shop: Connection, root: Path) -> None:
    put(root, "a_totals/checks.sql", FEW.format("fail"))
    build(shop, root)
    before = rows(shop, "sales"), rows(shop, "a_totals"), shop.execute("SELECT * FROM ledger.builds").fetchall()
    shop.execute("INSERT INTO shop.orders VALUES (%s, 'ink')", [DAY])
    with pytest.raises(CheckError) as failure:
        build(shop, root, force=True)
    assert str(failure.value).splitlines() == [
        "checks failed, the tables did not change:",
        "  shop.a_totals: at most two orders: 1 rows, e.g. day 2021-04-01, order_count 3",
    ]
    after = rows(shop, "sales"), rows(shop, "a_totals"), shop.execute("SELECT * FROM ledger.builds").fetchall()
    assert after == before


def test_warning_is_returned_and_the_tables_are_built(shop: Connection, root: Path) -> None:
    put(root, "a_totals/checks.sql", FEW.format("warn"))
    shop.execute("INSERT INTO shop.orders VALUES (%s, 'ink')", [DAY])
    _, receipt = build(shop, root)
    (warning,) = receipt.warnings
    assert (warning.table, warning.name, warning.severity, warning.broken_count) == (
        "shop.a_totals",
        "at most two orders",
        "warn",
        1,
    )
    assert rows(shop, "a_totals") == [(DAY, 3)]


def test_builds_of_one_partition_wait_for_each_other(shop: Connection, root: Path, open_connection: Connect) -> None:
    done: list[dict[str, str]] = []

    def build_beside() -> None:
        with open_connection() as own:
            done.append(statuses(build(own, root)))

    thread = threading.Thread(target=build_beside)
    with shop.transaction():
        build(shop, root)
        thread.start()
        wait_for_waiting(open_connection, 1)
        assert done == []
    thread.join(timeout=30)
    assert done == [{"shop.sales": "unchanged", "shop.a_totals": "unchanged"}]


# Queries and checks


@pytest.mark.parametrize("disposition", ["-- write disposition: merge\n", "-- write disposition: replace day\n", ""])
def test_unknown_write_disposition_is_named(disposition: str, shop: Connection, root: Path) -> None:
    put(root, "sales/query.sql", SALES_QUERY.replace("-- write disposition: replace partition (day)\n", disposition))
    found = disposition.partition(": ")[2].strip()
    with pytest.raises(SqlFileError) as failure:
        build(shop, root)
    assert str(failure.value) == (
        f"sql/shop/sales/query.sql: write disposition is {found!r};"
        " expected `replace table`, `replace partition (column)`, `merge by (column, ...)`,"
        " `history by (column, ...)`, `append`,"
        " `append, change all but (column, ...)` or `fill shared table` in the header"
    )


def test_schema_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(SqlFileError, match=r"no tables under .*/shoe: expected sql/shoe/<table>/"):
        tables_of("shoe", tmp_path)


def test_query_that_is_missing_is_named(shop: Connection, root: Path) -> None:
    with pytest.raises(SqlFileError, match=r"orders: expected a query.sql with one SELECT, found none"):
        write_query(shop, sql_table("shop.orders", root), {})


def test_per_cent_signs_in_queries_values_and_checks(shop: Connection, root: Path) -> None:
    shop.execute("INSERT INTO shop.orders VALUES (%s, %s), (%s, %s)", [DAY, "100 %", DAY, "%(day)s 100 %"])
    put(root, "sales/query.sql", SALES_QUERY.replace("GROUP BY", "AND product LIKE %(word)s || '%%' GROUP BY"))
    put(
        root,
        "sales/checks.sql",
        "-- warn: none ends in %\nSELECT product FROM shop.sales WHERE product LIKE '%%\\%%';\n",
    )
    table = sql_table("shop.sales", root)
    assert write_query(shop, table, {"day": DAY, "word": "%(day)s"}) == 1
    assert rows(shop, "sales") == [(DAY, "%(day)s 100 %", 1)]
    (check,) = run_checks(shop, table, {"day": DAY, "word": ""})
    assert (check.name, check.examples) == ("none ends in %", ("product (hidden)",))


def test_lone_per_cent_sign_in_a_query_is_named(shop: Connection, root: Path) -> None:
    put(root, "sales/query.sql", SALES_QUERY.replace("GROUP BY", "AND product LIKE '%' GROUP BY"))
    with pytest.raises(WarehouseError, match=r"\(sql/shop/sales/query.sql\)"):
        build(shop, root)


def test_missing_parameter_is_named(shop: Connection, root: Path) -> None:
    with pytest.raises(WarehouseError, match=r"query parameter missing: day \(sql/shop/sales/query.sql\)"):
        write_query(shop, sql_table("shop.sales", root), {"month": DAY})


def test_check_with_invalid_sql_is_named(shop: Connection, root: Path) -> None:
    put(root, "sales/checks.sql", "-- fail: sound\nSELECT 1 WHERE false;\n\n-- warn: broken\nSELCT;\n")
    with pytest.raises(WarehouseError, match=r"syntax error.*\(sql/shop/sales/checks.sql: broken\)"):
        build(shop, root)
    assert rows(shop, "sales") == []


def test_check_lists_some_examples_and_counts_all(shop: Connection, root: Path) -> None:
    put(root, "sales/checks.sql", "-- fail: none\nSELECT n FROM generate_series(1, 1000) AS n;\n")
    (check,) = run_checks(shop, sql_table("shop.sales", root), {})
    assert (check.broken_count, check.examples) == (1000, ("n 1", "n 2", "n 3", "n 4", "n 5"))


def count_in_both_checks(root: Path, query: str, wanted: int) -> None:
    """Give two tables of the shop a check that begins with the same query."""
    put(root, "sales/checks.sql", f"-- fail: none\n{COUNTED.format(query)}SELECT n FROM counted WHERE n <> 2;\n")
    put(
        root,
        "a_totals/checks.sql",
        f"-- fail: too few\n{COUNTED.format(query)}SELECT n FROM counted WHERE n < {wanted};\n",
    )


COUNTED = "WITH counted AS (\n    {}\n)\n\n"
COUNT = "SELECT count(*) AS n FROM shop.orders WHERE day = '2021-04-01'"
SHARED = "SELECT count(*) FROM pg_class WHERE relname ~ '^checked_' AND relpersistence = 't'"


@pytest.mark.parametrize(("cost", "shared"), [("0.01", 0), ("100000", 1)])
def test_checks_with_the_same_large_query_run_it_once(cost: str, shared: int, shop: Connection, root: Path) -> None:
    count_in_both_checks(root, COUNT, 2)
    shop.execute(f"SET cpu_tuple_cost = {cost}")
    with shop.transaction():
        assert statuses(build(shop, root)) == {"shop.sales": "built", "shop.a_totals": "built"}
        assert shop.execute(SHARED).fetchone() == (shared,)
        assert statuses(build(shop, root, force=True)) == {"shop.sales": "built", "shop.a_totals": "built"}
    count_in_both_checks(root, COUNT, 3)
    with pytest.raises(CheckError, match=r"shop.a_totals: too few: 1 rows, e.g. n 2"):
        build(shop, root)


def test_query_that_cannot_fill_a_table_runs_in_each_check(shop: Connection, root: Path) -> None:
    count_in_both_checks(root, COUNT.replace("AS n", "AS n, 1 AS x, 2 AS x"), 2)
    shop.execute("SET cpu_tuple_cost = 100000")
    with shop.transaction():
        assert statuses(build(shop, root)) == {"shop.sales": "built", "shop.a_totals": "built"}
        assert shop.execute(SHARED).fetchone() == (0,)


def test_broken_query_of_several_checks_is_named_by_its_check(shop: Connection, root: Path) -> None:
    count_in_both_checks(root, "SELECT count(*) AS n FROM shop.nothing", 2)
    with pytest.raises(WarehouseError, match=r"shop.nothing.*\(sql/shop/sales/checks.sql: none\)"):
        build(shop, root)


def test_check_may_read_a_table_that_the_build_writes_later(shop: Connection, root: Path) -> None:
    put(root, "sales/checks.sql", "-- fail: no totals\nSELECT 1 WHERE NOT EXISTS (SELECT FROM shop.a_totals);\n")
    assert statuses(build(shop, root)) == {"shop.sales": "built", "shop.a_totals": "built"}
