"""Builds that merge and append, in a real Postgres: the order of deliveries and builds does not change the result."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.aftermath import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.dispositions import empty_affected_keys
from tasks.engine.errors import CheckError, SqlFileError, WarehouseError, WarehouseUnavailableError
from tasks.engine.receipts import BuildReceipt
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.locks import locked
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

FILES = {
    "raw/table.sql": """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.raw (day date, order_id int, version int, person int, amount numeric, lines text[]);
""",
    "orders/table.sql": """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.orders (
    order_id bigint CONSTRAINT orders_order_id_pk PRIMARY KEY, day date, person int, amount numeric
);
""",
    "orders/affected_keys.sql": """\
-- sources: shop.raw, shop.orders
SELECT raw.order_id FROM shop.raw WHERE raw.day = %(day)s
UNION ALL
SELECT orders.order_id FROM shop.orders WHERE orders.day = %(day)s
""",
    "orders/query.sql": """\
-- key: order_id
-- sources: shop.raw
-- write disposition: merge by (order_id)
SELECT DISTINCT ON (raw.order_id) raw.order_id, raw.day, raw.person, raw.amount
FROM shop.raw INNER JOIN affected_orders ON raw.order_id = affected_orders.order_id
ORDER BY raw.order_id, raw.version DESC, raw.day DESC
""",
    "orders/checks.sql": """\
-- fail: none below zero
SELECT orders.order_id, orders.amount
FROM shop.orders INNER JOIN affected_orders ON orders.order_id = affected_orders.order_id WHERE orders.amount < 0;
""",
    "lines/table.sql": """\
-- sources: shop.orders
CREATE TABLE IF NOT EXISTS shop.lines (
    order_id bigint NOT NULL CONSTRAINT lines_order_id_fk REFERENCES shop.orders DEFERRABLE,
    line text NOT NULL, position bigint,
    CONSTRAINT lines_order_id_line_uk UNIQUE (order_id, line)
);
""",
    "lines/affected_keys.sql": """\
-- sources: shop.raw, shop.orders
SELECT raw.order_id FROM shop.raw WHERE raw.day = %(day)s
UNION ALL
SELECT orders.order_id FROM shop.orders WHERE orders.day = %(day)s
""",
    "lines/query.sql": """\
-- key: order_id, line
-- sources: shop.raw, shop.orders
-- write disposition: merge by (order_id)
SELECT latest.order_id, line.text AS line, line.position
FROM (
    SELECT DISTINCT ON (raw.order_id) raw.order_id, raw.lines
    FROM shop.raw INNER JOIN affected_lines ON raw.order_id = affected_lines.order_id
    ORDER BY raw.order_id, raw.version DESC, raw.day DESC
) AS latest, unnest(latest.lines) WITH ORDINALITY AS line (text, position)
""",
    "people/table.sql": """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.people (
    number int GENERATED ALWAYS AS IDENTITY, person int CONSTRAINT people_person_pk PRIMARY KEY, first_amount numeric
);
""",
    "people/query.sql": """\
-- key: person
-- sources: shop.raw
-- write disposition: append
SELECT raw.person, min(raw.amount) AS first_amount FROM shop.raw WHERE raw.day = %(day)s GROUP BY raw.person
""",
}
FULL_ORDERS = (
    "SELECT DISTINCT ON (order_id) order_id, day, person, amount FROM shop.raw"
    " ORDER BY order_id, version DESC, day DESC"
)
FULL_LINES = (
    "SELECT order_id, line.text, line.position FROM (SELECT DISTINCT ON (order_id) order_id, lines FROM shop.raw"
    " ORDER BY order_id, version DESC, day DESC) AS r, unnest(lines) WITH ORDINALITY AS line (text, position)"
    " ORDER BY 1, 3"
)
DAYS = [date(2021, 4, 1) + timedelta(n) for n in range(4)]
FIRST, SECOND, THIRD, _ = DAYS

Row = tuple[Any, ...]
Connect = Callable[[], AbstractContextManager[Connection]]


@pytest.fixture
def open_connection(database: str) -> Connect:
    return lambda: connect(WarehouseSettings(dsn=SecretStr(database)), "merges")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for file, text in FILES.items():
        put(tmp_path, file, text)
    return tmp_path


@pytest.fixture
def shop(open_connection: Connect, root: Path) -> Iterator[Connection]:
    with open_connection() as connection:
        apply_ddl(connection, [], ["shop"], root)
        yield connection


def put(root: Path, file: str, text: str) -> None:
    path = root / "shop" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def change(root: Path, file: str, old: str, new: str) -> None:
    assert old in FILES[file]
    put(root, file, FILES[file].replace(old, new))


def deliver(shop: Connection, day: date, *orders: Row) -> None:
    """Replace the orders of a day. An order has id, version, person, amount and lines."""
    with shop.transaction():
        shop.execute("DELETE FROM shop.raw WHERE day = %s", [day])
        shop.cursor().executemany("INSERT INTO shop.raw VALUES (%s, %s, %s, %s, %s, %s)", [(day, *o) for o in orders])


def build(shop: Connection, root: Path, day: date = FIRST, *, force: bool = True) -> dict[str, tuple[str, int]]:
    receipts: list[BuildReceipt] = build_tables(
        shop, "shop", {"day": day}, partition=day.isoformat(), datasets=["raw"], force=force, root=root
    )
    return {receipt.table.removeprefix("shop."): (receipt.status, receipt.row_count) for receipt in receipts}


def rows(shop: Connection, query: str) -> list[Row]:
    return shop.execute(query).fetchall()


def orders(shop: Connection) -> list[Row]:
    return rows(shop, "SELECT order_id, day, person, amount FROM shop.orders ORDER BY 1")


def lines(shop: Connection) -> list[Row]:
    return rows(shop, "SELECT order_id, line, position FROM shop.lines ORDER BY 1, 3")


# Merging


def test_rows_are_inserted_changed_and_removed_by_key(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a", "b"]), (2, 1, 7, 20, ["c"]), (3, 1, 8, 30, []))
    assert build(shop, root) == {"orders": ("built", 3), "lines": ("built", 3), "people": ("built", 2)}
    deliver(shop, FIRST, (1, 2, 7, 11, ["b"]), (3, 1, 8, 30, []), (4, 1, 8, 40, ["d"]))
    # Order 1 changed, 2 is gone, 3 is the same, 4 is new; line a is gone, b moved up, c went with its order, d is new.
    assert build(shop, root) == {"orders": ("built", 3), "lines": ("built", 4), "people": ("built", 0)}
    assert orders(shop) == [(1, FIRST, 7, 11), (3, FIRST, 8, 30), (4, FIRST, 8, 40)]
    assert lines(shop) == [(1, "b", 1), (4, "d", 1)]


delivered = st.dictionaries(
    st.integers(1, 5),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.just(10), st.sampled_from([[], ["a"], ["b", "a"]])),
)


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(history=st.lists(st.tuples(st.sampled_from(DAYS), delivered), min_size=3, max_size=8))
def test_merged_tables_equal_one_build_of_everything(
    shop: Connection, root: Path, history: list[tuple[date, dict[int, Row]]]
) -> None:
    shop.execute("TRUNCATE shop.raw, shop.orders, shop.lines")
    for day, versions in history:
        deliver(shop, day, *((number, *version) for number, version in versions.items()))
        build(shop, root, day)
        assert orders(shop) == rows(shop, FULL_ORDERS)
        assert lines(shop) == rows(shop, FULL_LINES)


def test_affected_key_that_loses_its_row_falls_back_to_the_earlier_version(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    deliver(shop, SECOND, (1, 2, 7, 99, ["b"]))
    build(shop, root, SECOND)
    assert orders(shop) == [(1, SECOND, 7, 99)]
    deliver(shop, SECOND)
    assert build(shop, root, SECOND)["orders"] == ("built", 1)
    assert orders(shop) == [(1, FIRST, 7, 10)]
    assert lines(shop) == [(1, "a", 1)]


def test_equal_rows_and_rows_of_other_keys_are_not_written(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]), (2, 1, 7, 20, []))
    deliver(shop, SECOND, (3, 1, 7, 30, []))
    for day in (FIRST, SECOND):
        build(shop, root, day)
    versions = rows(shop, "SELECT xmin::text, order_id FROM shop.orders ORDER BY 2")
    deliver(shop, FIRST, (1, 2, 7, 10, ["a"]), (2, 2, 7, 21, []))
    assert build(shop, root) == {"orders": ("built", 1), "lines": ("built", 0), "people": ("built", 0)}
    after = rows(shop, "SELECT xmin::text, order_id FROM shop.orders ORDER BY 2")
    assert [order for old, order in versions if (old, order) not in after] == [2]


def test_equal_value_that_is_written_otherwise_follows_the_query(shop: Connection, root: Path) -> None:
    for amount in ("1.0", "1.00"):
        deliver(shop, FIRST, (1, 1, 7, amount, []))
        build(shop, root)
    assert rows(shop, "SELECT amount::text FROM shop.orders") == [("1.00",)]


def test_unchanged_merge_is_skipped(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    build(shop, root, force=False)
    assert build(shop, root, force=False) == {
        "orders": ("unchanged", 1),
        "lines": ("unchanged", 1),
        "people": ("unchanged", 1),
    }


def test_changed_affected_keys_file_causes_a_rebuild(shop: Connection, root: Path) -> None:
    build(shop, root, force=False)
    put(root, "lines/affected_keys.sql", FILES["lines/affected_keys.sql"] + "LIMIT ALL\n")
    assert {table for table, (status, _) in build(shop, root, force=False).items() if status == "built"} == {"lines"}


def test_referenced_row_is_kept_and_nothing_is_written(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, []), (2, 1, 7, 20, []))
    build(shop, root)
    shop.execute("CREATE TABLE shop.notes (order_id bigint REFERENCES shop.orders); INSERT INTO shop.notes VALUES (1)")
    deliver(shop, FIRST, (2, 2, 7, 22, []))
    with pytest.raises(WarehouseError, match=r'23503.*\(order_id\)=\(1\) is still referenced from table "notes"'):
        build(shop, root)
    assert orders(shop) == [(1, FIRST, 7, 10), (2, FIRST, 7, 20)]


def test_removal_of_a_row_that_a_merged_table_refers_to_is_refused_at_the_end(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    build(shop, root)
    put(root, "lines/affected_keys.sql", "-- sources: none\nSELECT 0 AS order_id WHERE false\n")
    deliver(shop, FIRST)
    with pytest.raises(WarehouseError, match=r'23503.*is still referenced from table "lines"'):
        build(shop, root)
    assert orders(shop) == [(1, FIRST, 7, 10)]


def test_failing_check_leaves_merged_tables_as_they_were(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    build(shop, root)
    deliver(shop, FIRST, (2, 1, 7, -1, []))
    with pytest.raises(CheckError, match=r"none below zero: 1 rows, e.g. order_id 2, amount -1"):
        build(shop, root)
    assert (orders(shop), lines(shop)) == ([(1, FIRST, 7, 10)], [(1, "a", 1)])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "orders/affected_keys.sql",
            "SELECT raw.order_id FROM shop.raw WHERE raw.day = %(day)s",
            "SELECT 2 AS order_id",
            r"but the query gives 1 other rows, such as \(order_id\) = \(3,\); select these keys in affected_keys.sql",
        ),
        (
            "orders/query.sql",
            "raw.order_id, raw.day",
            "nullif(raw.order_id, 3) AS order_id, raw.day",
            r"expected each \(order_id\) once and without nulls, found \(None,\)",
        ),
        (
            "orders/query.sql",
            "SELECT DISTINCT ON (raw.order_id)",
            "SELECT",
            r"expected each \(order_id\) once and without nulls, found \(2,\)",
        ),
        (
            "orders/affected_keys.sql",
            "SELECT raw.order_id",
            "SELECT raw.person",
            r"affected_keys.sql: expected the columns order_id, as the write disposition names them, found person",
        ),
    ],
)
def test_query_that_breaks_the_rules_of_merges_is_refused(
    file: str, old: str, new: str, message: str, shop: Connection, root: Path
) -> None:
    put(root, "orders/query.sql", FILES["orders/query.sql"].replace("affected_orders ON", "affected_orders ON true OR"))
    path = root / "shop" / file
    path.write_text(path.read_text().replace(old, new))
    deliver(shop, FIRST, (2, 1, 7, 20, []), (3, 1, 7, 30, []))
    deliver(shop, SECOND, (2, 1, 7, 21, []))
    with pytest.raises(SqlFileError, match=message):
        build(shop, root)
    assert orders(shop) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "orders/affected_keys.sql",
            "SELECT raw.order_id",
            "SELECT NULL AS order_id",
            r"23502.*orders/affected_keys.sql",
        ),
        ("orders/query.sql", "key: order_id", "key: order_id, day", r"42P10.*orders/query.sql"),
    ],
)
def test_merge_that_postgres_refuses_names_its_place(
    file: str, old: str, new: str, message: str, shop: Connection, root: Path
) -> None:
    change(root, file, old, new)
    deliver(shop, FIRST, (2, 1, 7, 20, []))
    with pytest.raises(WarehouseError, match=message):
        build(shop, root)


def test_row_of_an_unaffected_key_fails_the_build(shop: Connection, root: Path) -> None:
    """A line with a unique key belongs to another order, and this build does not recompute that order."""
    shop.execute(
        "ALTER TABLE shop.lines ADD CONSTRAINT lines_line_uk UNIQUE (line);"
        " INSERT INTO shop.orders VALUES (9); INSERT INTO shop.lines VALUES (9, 'a', 1)"
    )
    change(root, "lines/query.sql", "key: order_id, line", "key: line")
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    with pytest.raises(SqlFileError, match=r"but it would change 1 other rows, such as \(order_id\) = \(9,\)"):
        build(shop, root)
    assert lines(shop) == [(9, "a", 1)]


def test_merge_without_its_selection_is_named(shop: Connection, root: Path) -> None:
    (root / "shop" / "orders" / "affected_keys.sql").unlink()
    with pytest.raises(SqlFileError, match=r"sql/shop/orders/query.sql: merge needs an affected_keys.sql"):
        build(shop, root)


# Appending


def test_appended_rows_stay_as_they_were_first(shop: Connection, root: Path) -> None:
    deliver(shop, FIRST, (1, 1, 7, 10, []), (2, 1, 8, 20, []))
    deliver(shop, SECOND, (3, 1, 8, 5, []), (4, 1, 9, 40, []))
    assert [build(shop, root, day)["people"] for day in (FIRST, SECOND)] == [("built", 2), ("built", 1)]
    deliver(shop, FIRST, (1, 1, 7, 1, []))
    assert build(shop, root)["people"] == ("built", 0)
    assert rows(shop, "SELECT person, first_amount FROM shop.people ORDER BY number") == [(7, 10), (8, 20), (9, 40)]


def test_upserted_rows_follow_the_query_but_for_the_columns_that_are_kept(shop: Connection, root: Path) -> None:
    old = "append\nSELECT raw.person,"
    new = "append, change all but (number, first_day)\nSELECT raw.person, min(raw.day) AS first_day,"
    change(root, "people/query.sql", old, new)
    shop.execute("ALTER TABLE shop.people ADD first_day date")
    deliver(shop, FIRST, (1, 1, 7, 10, []), (2, 1, 8, 20, []))
    deliver(shop, SECOND, (3, 1, 8, 5, []), (4, 1, 7, 10, []), (5, 1, 9, 40, []))
    assert [build(shop, root, day)["people"] for day in (FIRST, SECOND)] == [("built", 2), ("built", 2)]
    deliver(shop, FIRST)
    assert build(shop, root)["people"] == ("built", 0)
    query = "SELECT person, first_amount, first_day FROM shop.people ORDER BY person"
    assert rows(shop, query) == [(7, 10, FIRST), (8, 5, FIRST), (9, 40, SECOND)]


def test_append_with_a_key_that_is_there_twice_is_refused(shop: Connection, root: Path) -> None:
    change(root, "people/query.sql", "GROUP BY raw.person", "GROUP BY raw.person, raw.amount")
    deliver(shop, FIRST, (1, 1, 7, 10, []), (2, 1, 7, 20, []))
    with pytest.raises(SqlFileError, match=r"people/query.sql: expected each \(person\) once"):
        build(shop, root)
    assert orders(shop) == []


# Side by side


def waiting(observer: Connection, count: int) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait_for(lambda: observer.execute(query).fetchone() == (count,), f"{count} sessions at the lock")


def test_merges_of_two_partitions_take_turns_and_read_rows_that_arrived_meanwhile(
    shop: Connection, root: Path, open_connection: Connect
) -> None:
    def build_beside(day: date) -> dict[str, tuple[str, int]]:
        with open_connection() as own:
            return build(own, root, day, force=False)

    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    deliver(shop, SECOND, (1, 2, 7, 20, ["b"]))
    with ThreadPoolExecutor(2) as pool:
        with locked(shop, "schema shop"):
            built = [pool.submit(build_beside, day) for day in (FIRST, SECOND)]
            waiting(shop, 2)
            deliver(shop, THIRD, (1, 3, 7, 30, ["c"]), (2, 1, 7, 5, []))
        assert sorted(future.result(timeout=30)["orders"][1] for future in built) == [0, 1]
    assert orders(shop) == [(1, THIRD, 7, 30)]
    build(shop, root, THIRD)
    assert orders(shop) == rows(shop, FULL_ORDERS)


def test_builds_of_partitions_share_the_schema(shop: Connection, root: Path, open_connection: Connect) -> None:
    for table in ("orders", "lines", "people"):
        shutil.rmtree(root / "shop" / table)
    put(root, "days/table.sql", "-- sources: none\nCREATE TABLE IF NOT EXISTS shop.days (day date);\n")
    put(
        root,
        "days/query.sql",
        "-- sources: none\n-- write disposition: replace partition (day)\nSELECT %(day)s::date AS day\n",
    )
    apply_ddl(shop, [], ["shop"], root)
    with shop.transaction(), open_connection() as own:
        assert build(shop, root) == {"days": ("built", 1)}
        assert build(own, root, SECOND) == {"days": ("built", 1)}


def test_concurrent_change_of_a_row_causes_a_retry(shop: Connection, root: Path, open_connection: Connect) -> None:
    """The build sees one state. A later change must not be overwritten, so the build starts again."""
    deliver(shop, FIRST, (1, 1, 7, 10, []))
    build(shop, root)
    deliver(shop, FIRST, (1, 2, 7, 20, []))
    put(
        root,
        "orders/query.sql",
        FILES["orders/query.sql"].replace("raw.amount\n", "raw.amount + 0 * public.wait() AS amount\n"),
    )
    shop.execute(
        "CREATE FUNCTION public.wait() RETURNS int LANGUAGE sql VOLATILE AS"
        " 'SELECT pg_advisory_xact_lock(1); SELECT 1'; SELECT pg_advisory_lock(1)"
    )

    def build_beside() -> None:
        with open_connection() as own:
            build(own, root)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(build_beside)
        waiting(shop, 1)
        shop.execute("UPDATE shop.orders SET amount = 99; SELECT pg_advisory_unlock(1)")
        with pytest.raises(WarehouseUnavailableError, match="40001"):
            future.result(timeout=30)
    assert orders(shop) == [(1, FIRST, 7, 99)]


# What a build depends on


AFFECTED = """\
-- sources: shop.raw, shop.orders
CREATE OR REPLACE VIEW shop.affected AS
SELECT raw.day, raw.order_id FROM shop.raw
UNION
SELECT orders.day, orders.order_id FROM shop.orders;
"""


def test_a_changed_view_that_affected_keys_reads_makes_the_table_due(shop: Connection, root: Path) -> None:
    put(root, "affected/table.sql", AFFECTED)
    for table in ("orders", "lines"):
        put(
            root,
            f"{table}/affected_keys.sql",
            "-- sources: shop.affected\nSELECT affected.order_id FROM shop.affected WHERE affected.day = %(day)s\n",
        )
    deliver(shop, FIRST, (1, 1, 7, 10, ["a"]))
    apply_ddl(shop, [], ["shop"], root)
    build(shop, root)
    statuses = {table: status for table, (status, _) in build(shop, root, force=False).items()}
    assert statuses == {"orders": "unchanged", "lines": "unchanged", "people": "unchanged"}
    put(root, "affected/table.sql", AFFECTED.replace("FROM shop.raw\n", "FROM shop.raw WHERE raw.version > 0\n"))
    apply_ddl(shop, [], ["shop"], root)
    statuses = {table: status for table, (status, _) in build(shop, root, force=False).items()}
    assert statuses == {"orders": "built", "lines": "built", "people": "unchanged"}
    assert {status for status, _ in build(shop, root, force=False).values()} == {"unchanged"}


def test_sources_of_affected_keys_in_another_schema_are_inputs_and_the_tables_own_schema_is_not(root: Path) -> None:
    for name, text in {
        "table.sql": "-- sources: none\nCREATE TABLE IF NOT EXISTS core.closed (order_id bigint);\n",
        "query.sql": "-- sources: none\n-- write disposition: replace table\nSELECT 1::bigint AS order_id\n",
    }.items():
        path = root / "core" / "closed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    text = FILES["orders/affected_keys.sql"].replace("shop.raw, shop.orders", "core.closed, shop.raw, shop.lines")
    put(root, "orders/affected_keys.sql", text)
    found = sql_files.built_sources(sql_files.sql_table("shop.orders", root), root)
    assert [source.name for source in found] == ["core.closed"]
    query = root / "core" / "closed" / "query.sql"
    query.write_text(query.read_text(encoding="utf-8").replace("sources: none", "sources: shop.orders"), "utf-8")
    assert sql_files.built_sources(sql_files.sql_table("shop.orders", root), root) == []


def test_query_of_a_merge_can_be_described_without_a_build(shop: Connection, root: Path) -> None:
    with shop.transaction():
        empty_affected_keys(shop, sql_files.sql_table("shop.orders", root))
        assert shop.execute("SELECT count(*) FROM affected_orders").fetchone() == (0,)
    with shop.transaction():
        empty_affected_keys(shop, sql_files.sql_table("shop.people", root))  # an append has no affected keys
        assert shop.execute("SELECT to_regclass('pg_temp.affected_people')").fetchone() == (None,)
