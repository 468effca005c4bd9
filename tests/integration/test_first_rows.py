"""First large builds of a table: inserted directly, with indexes that are built from all rows."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from tasks.engine.build import lone_changes, sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import CheckError, SqlFileError, WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

RAW = """\
-- sources: none
CREATE TABLE IF NOT EXISTS first.raw (number int, shop text, item jsonb);
"""
SALES = """\
-- sources: none
CREATE TABLE IF NOT EXISTS first.sales (
    id bigint GENERATED ALWAYS AS IDENTITY,
    number int NOT NULL, shop text NOT NULL, item jsonb,
    CONSTRAINT sales_id_pk PRIMARY KEY (id),
    CONSTRAINT "sales {number} uk" UNIQUE (number, shop)
);
CREATE INDEX IF NOT EXISTS sales_shop_ix ON first.sales (shop, number DESC) INCLUDE (id) WHERE number > 0;
CREATE INDEX IF NOT EXISTS sales_item_ix ON first.sales USING gin (item);
CREATE UNIQUE INDEX IF NOT EXISTS sales_lower_ux ON first.sales (lower(shop), number);
"""
CHECK = "-- fail: no number is below zero\nSELECT number FROM first.sales WHERE number < 0\n"
QUERY = """\
-- key: number, shop
-- sources: first.raw
-- write disposition: {}
SELECT number, shop, item FROM first.raw
"""
DISPOSITIONS = ("append", "append, change all but (item)", "merge by (number)")
INDEXES = """
SELECT x.relname, pg_get_indexdef(x.oid), k.conname, pg_get_constraintdef(k.oid), obj_description(x.oid, 'pg_class'),
    obj_description(k.oid, 'pg_constraint'), i.indisprimary, i.indisvalid, i.indisclustered, x.reloptions
FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid LEFT JOIN pg_constraint AS k ON k.conindid = x.oid
    AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = 'first.sales'::regclass ORDER BY 1
"""
OIDS = "SELECT indexrelid::regclass::text, indexrelid FROM pg_index WHERE indrelid = 'first.sales'::regclass"
ROWS = "SELECT number, shop, item FROM first.sales ORDER BY number, shop"
ALL = {"first.sales_id_pk", 'first."sales {number} uk"', "first.sales_shop_ix", "first.sales_item_ix"}
ALL |= {"first.sales_lower_ux"}

Connect = Callable[[], AbstractContextManager[Connection]]


def put(root: Path, file: str, text: str) -> None:
    path = root / "first" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def use(root: Path, disposition: str) -> None:
    """Let the sales have a write disposition."""
    put(root, "sales/query.sql", QUERY.format(disposition))
    if disposition.startswith("merge"):
        put(root, "sales/affected_keys.sql", "-- sources: first.raw\nSELECT number FROM first.raw")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    put(tmp_path, "raw/table.sql", RAW)
    put(tmp_path, "sales/table.sql", SALES)
    put(tmp_path, "sales/checks.sql", CHECK)
    use(tmp_path, "append")
    return tmp_path


@pytest.fixture(autouse=True)
def _builds_of_four_rows_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lone_changes, "LARGE_BUILD", 4)


@pytest.fixture
def open_connection(database: str) -> Connect:
    return lambda: connect(WarehouseSettings(dsn=SecretStr(database)), "first")


@pytest.fixture
def shop(open_connection: Connect) -> Iterator[Connection]:
    with open_connection() as connection:
        yield connection


def create(shop: Connection, root: Path) -> None:
    apply_ddl(shop, [], ["first"], root)
    shop.execute("COMMENT ON INDEX first.sales_shop_ix IS 'It''s {an} index, 100 %'")
    shop.execute("COMMENT ON INDEX first.sales_id_pk IS 'Index of the key'")
    shop.execute("COMMENT ON CONSTRAINT sales_id_pk ON first.sales IS 'The key'")


def deliver(shop: Connection, *sales: tuple[int | None, str | None]) -> None:
    """Sales by number and shop, in place of those that were delivered earlier."""
    shop.execute("TRUNCATE first.raw")
    rows = [(number, shop_name, f'{{"number": {number or 0}}}') for number, shop_name in sales]
    shop.cursor().executemany("INSERT INTO first.raw VALUES (%s, %s, %s)", rows)
    shop.execute("ANALYZE first.raw")
    shop.execute(
        "INSERT INTO ledger.loads (dataset, partition, source_uri, source_version, contract_digest, size_bytes,"
        " rows_read, rows_loaded, rows_rejected) SELECT 'raw', '', 's3://lake/raw', random()::text, '', 0, 0, 0, 0"
        " WHERE NOT EXISTS (SELECT FROM ledger.loads)"
    )


FOUR: tuple[tuple[int | None, str | None], ...] = ((3, "b"), (1, "a"), (1, "b"), (2, "a"))


def build(shop: Connection, root: Path) -> int:
    (receipt,) = build_tables(shop, "first", {}, partition="", datasets=["raw"], force=True, root=root)
    return receipt.row_count


def found(shop: Connection, query: str) -> list[tuple[Any, ...]]:
    return shop.execute(query).fetchall()


def built_again(shop: Connection, root: Path) -> set[str]:
    """Build, compare the indexes with their earlier definitions, and return the indexes with another id."""
    definitions, before = found(shop, INDEXES), dict(found(shop, OIDS))
    build(shop, root)
    assert found(shop, INDEXES) == definitions
    after = dict(found(shop, OIDS))
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_first_large_build_equals_the_build_row_by_row(
    shop: Connection, root: Path, monkeypatch: pytest.MonkeyPatch, disposition: str
) -> None:
    use(root, disposition)
    create(shop, root)
    deliver(shop, *FOUR)
    assert built_again(shop, root) == ALL
    together = found(shop, ROWS)
    monkeypatch.setattr(lone_changes, "LARGE_BUILD", 100)
    shop.execute("TRUNCATE first.sales")
    assert built_again(shop, root) == set()
    assert found(shop, ROWS) == together
    assert len(together) == 4


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_second_build_changes_rows_and_no_index(shop: Connection, root: Path, disposition: str) -> None:
    use(root, disposition)
    create(shop, root)
    deliver(shop, *FOUR)
    assert build(shop, root) == 4
    deliver(shop, *FOUR, (5, "a"))
    assert built_again(shop, root) == set()
    assert len(found(shop, ROWS)) == 5


def test_few_rows_leave_the_indexes(shop: Connection, root: Path) -> None:
    create(shop, root)
    deliver(shop, *FOUR[:3])
    assert built_again(shop, root) == set()
    assert len(found(shop, ROWS)) == 3


# A null in a key that a merge recomputes is refused earlier.
BAD = [
    pytest.param(disposition, bad, example, id=f"{disposition}, {what}")
    for disposition in DISPOSITIONS
    for what, bad, example in (
        ("repeated", (1, "a"), r"\(1, 'a'\)"),
        ("first null", (None, "a"), r"\(None, 'a'\)"),
        ("last null", (7, None), r"\(7, None\)"),
    )
    if (what, disposition) != ("first null", "merge by (number)")
]


@pytest.mark.parametrize(("disposition", "bad", "example"), BAD)
def test_bad_key_is_named(
    shop: Connection, root: Path, disposition: str, bad: tuple[int | None, str | None], example: str
) -> None:
    use(root, disposition)
    create(shop, root)
    deliver(shop, *FOUR, bad)
    state = found(shop, INDEXES), found(shop, OIDS)
    with pytest.raises(SqlFileError, match=rf"expected each \(number, shop\) once and without nulls, found {example}"):
        build(shop, root)
    assert (found(shop, INDEXES), found(shop, OIDS), found(shop, ROWS)) == (*state, [])


def test_other_unique_key_is_named_by_postgres(shop: Connection, root: Path) -> None:
    create(shop, root)
    deliver(shop, *FOUR, (1, "A"))
    with pytest.raises(WarehouseError, match=r"23505.*sales_lower_ux"):
        build(shop, root)
    assert found(shop, ROWS) == []


def test_row_that_the_merge_does_not_recompute_is_refused(shop: Connection, root: Path) -> None:
    use(root, "merge by (number)")
    put(root, "sales/affected_keys.sql", "-- sources: first.raw\nSELECT number FROM first.raw WHERE number > 1")
    create(shop, root)
    deliver(shop, *FOUR)
    with pytest.raises(SqlFileError, match=r"the query gives 2 other rows, such as \(number\) = \(1,\)"):
        build(shop, root)
    assert found(shop, ROWS) == []


def test_failed_check_leaves_the_indexes_as_they_were(shop: Connection, root: Path) -> None:
    create(shop, root)
    deliver(shop, *FOUR, (-1, "a"))
    state = found(shop, INDEXES), found(shop, OIDS)
    with pytest.raises(CheckError):
        build(shop, root)
    assert (found(shop, INDEXES), found(shop, OIDS), found(shop, ROWS)) == (*state, [])


def test_open_reader_is_not_disturbed(shop: Connection, root: Path, open_connection: Connect) -> None:
    create(shop, root)
    deliver(shop, *FOUR)
    with open_connection() as reader, reader.transaction():
        reader.execute("SELECT FROM first.sales")
        assert built_again(shop, root) == set()
        assert reader.execute("SELECT count(*) FROM first.sales").fetchone() == (4,)


def test_index_with_more_properties_than_its_definition_stays(shop: Connection, root: Path) -> None:
    create(shop, root)
    shop.execute("ALTER INDEX first.sales_shop_ix SET (fillfactor = 70)")
    shop.execute("CLUSTER first.sales USING sales_id_pk")
    shop.execute("ALTER INDEX first.sales_lower_ux ALTER COLUMN 1 SET STATISTICS 300")
    shop.execute('ALTER TABLE first.sales REPLICA IDENTITY USING INDEX "sales {number} uk"')
    deliver(shop, *FOUR)
    assert built_again(shop, root) == {"first.sales_item_ix"}


def test_index_with_dependents_is_kept(shop: Connection, root: Path) -> None:
    create(shop, root)
    shop.execute("CREATE TABLE first.notes (id bigint REFERENCES first.sales, number int, shop text)")
    shop.execute(
        "CREATE VIEW first.shops AS SELECT id, number, shop FROM first.sales GROUP BY id; ALTER TABLE first.notes"
        " ADD FOREIGN KEY (number, shop) REFERENCES first.sales (number, shop)"
    )
    deliver(shop, *FOUR)
    assert built_again(shop, root) == ALL - {"first.sales_id_pk", 'first."sales {number} uk"'}


def test_table_with_deferrable_triggers_keeps_its_indexes(shop: Connection, root: Path) -> None:
    create(shop, root)
    shop.execute("ALTER TABLE first.sales ADD CONSTRAINT sales_late_uk UNIQUE (id, number) DEFERRABLE")
    deliver(shop, *FOUR)
    assert built_again(shop, root) == set()
    assert len(found(shop, ROWS)) == 4


@pytest.mark.parametrize("key", ["(number, shop) WHERE number > 0", "(number)", "(number, lower(shop))"])
def test_key_without_a_unique_index_is_refused_as_in_any_build(shop: Connection, root: Path, key: str) -> None:
    table = SALES.replace('    CONSTRAINT sales_id_pk PRIMARY KEY (id),\n    CONSTRAINT "sales {number} uk"', "    ")
    put(root, "sales/table.sql", table.replace("UNIQUE (number, shop)", "UNIQUE (id)"))
    apply_ddl(shop, [], ["first"], root)
    shop.execute(f"CREATE UNIQUE INDEX ON first.sales {key}")
    deliver(shop, (1, "a"), (2, "a"), (3, "b"), (4, "b"))
    with pytest.raises(WarehouseError, match="ON CONFLICT"):
        build(shop, root)


def test_role_that_does_not_own_the_table_adds_each_row_to_the_indexes(
    shop: Connection, root: Path, roles_administrator: psycopg.Connection, database: str
) -> None:
    create(shop, root)
    deliver(shop, *FOUR)
    password = "of-the-test"
    roles_administrator.execute(
        f"CREATE ROLE tally_loader LOGIN PASSWORD '{password}'; GRANT USAGE ON SCHEMA first, ledger TO tally_loader;"
        " GRANT ALL ON ALL TABLES IN SCHEMA first, ledger TO tally_loader;"
        " GRANT ALL ON ALL SEQUENCES IN SCHEMA ledger TO tally_loader;"
        f' GRANT CONNECT, TEMPORARY ON DATABASE "{conninfo_to_dict(database)["dbname"]}" TO tally_loader'
    )
    dsn = make_conninfo(database, user="tally_loader", password=password)
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "loader") as loader:
        assert built_again(loader, root) == set()
    assert len(found(shop, ROWS)) == 4
