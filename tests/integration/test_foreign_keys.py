"""Foreign keys of large builds: Postgres checks them together or row by row.

Postgres checks them together only if the role may drop and add the keys, and no other session uses the tables.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from tasks.engine.build import foreign_keys, lone_changes, sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import CheckError, WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

RAW = """\
-- sources: none
CREATE TABLE IF NOT EXISTS keyed.raw (number int, product int, day date);
"""
PRODUCTS = """\
-- sources: none
CREATE TABLE IF NOT EXISTS keyed.products (product int CONSTRAINT products_product_pk PRIMARY KEY);
"""
SALES = """\
-- sources: keyed.products
CREATE TABLE IF NOT EXISTS keyed.sales (
    number int NOT NULL, product int, day date,
    CONSTRAINT sales_number_pk PRIMARY KEY (number),
    CONSTRAINT "sales {product} fk" FOREIGN KEY (product) REFERENCES keyed.products (product) ON UPDATE CASCADE,
    CONSTRAINT sales_also_fk FOREIGN KEY (product) REFERENCES keyed.products (product) MATCH FULL
);
"""
CHECK = "-- fail: no product is below zero\nSELECT number FROM keyed.sales WHERE product < 0\n"
QUERY = """\
-- key: {key}
-- sources: keyed.raw
-- write disposition: {disposition}
SELECT number, product, day{more} FROM keyed.raw
"""
DISPOSITIONS = (
    "append",
    "append, change all but (day)",
    "merge by (number)",
    "replace table",
    "replace partition (day)",
    "history by (number)",
)
KEYS = """
SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'), convalidated,
    (SELECT count(*) FROM pg_trigger WHERE tgconstraint = k.oid)
FROM pg_constraint AS k WHERE conrelid = 'keyed.sales'::regclass AND contype = 'f' ORDER BY conname
"""
OIDS = "SELECT conname, oid FROM pg_constraint WHERE conrelid = 'keyed.sales'::regclass AND contype = 'f'"
DAY = "2021-04-01"

Connect = Callable[[], AbstractContextManager[Connection]]


def put(root: Path, file: str, text: str) -> None:
    path = root / "keyed" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def use(root: Path, disposition: str) -> None:
    """Let the sales have a write disposition."""
    is_history = disposition.startswith("history")
    condition = "WHERE day = %(day)s" if disposition.startswith("replace partition") else ""
    key = "number, valid_from" if is_history else "number"
    put(root, "sales/query.sql", QUERY.format(key=key, disposition=disposition, more="") + condition)
    if is_history:
        columns = "valid_from timestamptz NOT NULL, valid_to timestamptz, CONSTRAINT sales_number_pk UNIQUE"
        table = SALES.replace("CONSTRAINT sales_number_pk PRIMARY KEY (number)", f"{columns} (number, valid_from)")
        put(root, "sales/table.sql", table)
    if disposition.startswith("merge"):
        put(root, "sales/affected_keys.sql", "-- sources: keyed.raw\nSELECT number FROM keyed.raw")


@pytest.fixture
def open_connection(database: str) -> Connect:
    return lambda: connect(WarehouseSettings(dsn=SecretStr(database)), "keys")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    put(tmp_path, "raw/table.sql", RAW)
    put(tmp_path, "products/table.sql", PRODUCTS)
    put(tmp_path, "sales/table.sql", SALES)
    put(tmp_path, "sales/checks.sql", CHECK)
    use(tmp_path, "append")
    return tmp_path


@pytest.fixture(autouse=True)
def _builds_of_four_rows_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lone_changes, "LARGE_BUILD", 4)


@pytest.fixture
def keyed(open_connection: Connect) -> Iterator[Connection]:
    with open_connection() as connection:
        yield connection


def create(keyed: Connection, root: Path) -> None:
    apply_ddl(keyed, [], ["keyed"], root)
    keyed.execute("COMMENT ON CONSTRAINT sales_also_fk ON keyed.sales IS 'It''s {the} product, 100 %'")
    keyed.execute("INSERT INTO keyed.products SELECT generate_series(-1, 9)")


def deliver(keyed: Connection, *products: int | None) -> None:
    """Sales of some products, with numbers from 1, in place of those that were delivered earlier."""
    keyed.execute("TRUNCATE keyed.raw")
    rows = [(number, product, DAY) for number, product in enumerate(products, 1)]
    keyed.cursor().executemany("INSERT INTO keyed.raw VALUES (%s, %s, %s)", rows)
    keyed.execute("ANALYZE keyed.raw")
    keyed.execute(
        "INSERT INTO ledger.loads (dataset, partition, source_uri, source_version, contract_digest, size_bytes,"
        " rows_read, rows_loaded, rows_rejected) SELECT 'raw', '', 's3://lake/raw', random()::text, '', 0, 0, 0, 0"
        " WHERE NOT EXISTS (SELECT FROM ledger.loads)"
    )


def build(keyed: Connection, root: Path) -> None:
    build_tables(keyed, "keyed", {"day": DAY}, partition="", datasets=["raw"], force=True, root=root)


def found(keyed: Connection, query: str) -> list[tuple[Any, ...]]:
    return keyed.execute(query).fetchall()


def are_checked_together(keyed: Connection, root: Path) -> bool:
    """Build, compare the keys with the earlier keys, and return whether the build added them again."""
    keys, oids = found(keyed, KEYS), found(keyed, OIDS)
    build(keyed, root)
    assert found(keyed, KEYS) == keys
    after = found(keyed, OIDS)
    assert after == oids or {oid for _, oid in after}.isdisjoint(oid for _, oid in oids)
    return after != oids


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_first_large_build_checks_all_rows_together(keyed: Connection, root: Path, disposition: str) -> None:
    use(root, disposition)
    create(keyed, root)
    deliver(keyed, 1, 2, None, 1)
    assert are_checked_together(keyed, root)
    assert found(keyed, "SELECT number, product FROM keyed.sales ORDER BY 1") == [(1, 1), (2, 2), (3, None), (4, 1)]


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_row_without_its_product_is_refused_with_the_name_of_the_key(
    keyed: Connection, root: Path, disposition: str
) -> None:
    use(root, disposition)
    create(keyed, root)
    deliver(keyed, 1, 2, 77, 1)
    keys = found(keyed, KEYS), found(keyed, OIDS)
    with pytest.raises(
        WarehouseError, match=r'23503.*"sales (\{product\} fk|also_fk)?.*\(product\)=\(77\) is not present'
    ):
        build(keyed, root)
    assert (found(keyed, KEYS), found(keyed, OIDS)) == keys
    assert found(keyed, "SELECT FROM keyed.sales") == []


def test_few_rows_are_checked_one_by_one(keyed: Connection, root: Path) -> None:
    create(keyed, root)
    deliver(keyed, 1, 2, 3)
    assert not are_checked_together(keyed, root)


def test_rows_that_do_not_outnumber_the_old_ones_are_checked_one_by_one(keyed: Connection, root: Path) -> None:
    create(keyed, root)
    keyed.execute("INSERT INTO keyed.sales SELECT n, 1 FROM generate_series(100, 103) AS n")
    deliver(keyed, 1, 2, 3, 4)
    assert not are_checked_together(keyed, root)
    deliver(keyed, *[1] * 9)
    assert are_checked_together(keyed, root)


def test_replaced_table_counts_as_empty(keyed: Connection, root: Path) -> None:
    use(root, "replace table")
    create(keyed, root)
    keyed.execute("INSERT INTO keyed.sales SELECT n, 1 FROM generate_series(1, 100) AS n")
    deliver(keyed, 1, 2, 3, 4)
    assert are_checked_together(keyed, root)


def test_failed_check_leaves_the_keys_as_they_were(keyed: Connection, root: Path) -> None:
    create(keyed, root)
    deliver(keyed, 1, 2, 3, -1)
    keys = found(keyed, KEYS), found(keyed, OIDS)
    with pytest.raises(CheckError):
        build(keyed, root)
    assert (found(keyed, KEYS), found(keyed, OIDS)) == keys


@pytest.mark.parametrize("table", ["sales", "products"])
def test_open_reader_is_not_disturbed(keyed: Connection, root: Path, open_connection: Connect, table: str) -> None:
    create(keyed, root)
    deliver(keyed, 1, 2, 3, 4)
    with open_connection() as reader, reader.transaction():
        reader.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier("keyed", table)))
        assert not are_checked_together(keyed, root)
        assert reader.execute("SELECT count(*) FROM keyed.sales").fetchone() == (4,)


def test_reader_that_comes_during_the_build_waits(keyed: Connection, root: Path, open_connection: Connect) -> None:
    create(keyed, root)
    sales = sql_files.sql_table("keyed.sales", root)
    with open_connection() as reader:
        reader.execute("SET lock_timeout = '10ms'")
        with (
            keyed.transaction(),
            foreign_keys.keys_checked_together(keyed, sales, lambda: 4),
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            reader.execute("SELECT FROM keyed.sales")
    assert len(found(keyed, KEYS)) == 2


def test_key_that_is_not_validated_stays_not_validated(keyed: Connection, root: Path) -> None:
    create(keyed, root)
    keyed.execute("INSERT INTO keyed.sales VALUES (100, 1)")
    keyed.execute(
        "ALTER TABLE keyed.sales ADD CONSTRAINT sales_old_fk FOREIGN KEY (number) REFERENCES keyed.products NOT VALID"
    )
    deliver(keyed, 1, 2, 3, 4)
    before = dict(found(keyed, OIDS))
    keys = found(keyed, KEYS)
    build(keyed, root)
    after = dict(found(keyed, OIDS))
    assert found(keyed, KEYS) == keys
    assert [name for name in before if before[name] == after[name]] == ["sales_old_fk"]
    deliver(keyed, *[1] * 12)
    with pytest.raises(WarehouseError, match=r"23503.*sales_old_fk"):
        build(keyed, root)


def test_deferrable_keys_are_checked_at_the_commit(keyed: Connection, root: Path) -> None:
    create(keyed, root)
    keyed.execute(
        "ALTER TABLE keyed.sales ADD CONSTRAINT sales_late_fk FOREIGN KEY (product) REFERENCES keyed.products"
        " DEFERRABLE"
    )
    deliver(keyed, 1, 2, 3, 4)
    assert not are_checked_together(keyed, root)


def test_waiting_checks_of_the_referenced_table_keep_the_triggers(keyed: Connection, root: Path) -> None:
    """Postgres refuses to drop a key while a check of the other table waits for the commit."""
    create(keyed, root)
    keyed.execute("CREATE TABLE keyed.notes (product int REFERENCES keyed.products DEFERRABLE INITIALLY DEFERRED)")
    with keyed.transaction():
        keyed.execute("DELETE FROM keyed.products WHERE product = 9")
        oids = found(keyed, OIDS)
        with foreign_keys.keys_checked_together(keyed, sql_files.sql_table("keyed.sales", root), lambda: 4):
            assert found(keyed, OIDS) == oids


def test_role_that_does_not_own_the_table_builds_with_triggers(
    keyed: Connection, root: Path, roles_administrator: psycopg.Connection, database: str
) -> None:
    create(keyed, root)
    deliver(keyed, 1, 2, 3, 4)
    password = "of-the-test"
    roles_administrator.execute(
        f"CREATE ROLE tally_loader LOGIN PASSWORD '{password}'; GRANT USAGE ON SCHEMA keyed, ledger TO tally_loader;"
        " GRANT ALL ON ALL TABLES IN SCHEMA keyed, ledger TO tally_loader;"
        " GRANT ALL ON ALL SEQUENCES IN SCHEMA ledger TO tally_loader;"
        f' GRANT CONNECT, TEMPORARY ON DATABASE "{conninfo_to_dict(database)["dbname"]}" TO tally_loader'
    )
    dsn = make_conninfo(database, user="tally_loader", password=password)
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "loader") as loader:
        assert not are_checked_together(loader, root)
