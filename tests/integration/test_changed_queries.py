"""Queries that change after their tables hold rows: no row keeps a value of an earlier query without notice."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import SqlFileError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

FIRST, SECOND = "2021-04-01", "2021-04-02"
RAW = """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.raw (day date, id int, value text, note text);
"""
TABLE = """\
-- sources: none
CREATE TABLE IF NOT EXISTS shop.items (
    day date NOT NULL, id int NOT NULL, value text, note text,
    CONSTRAINT items_day_id_pk PRIMARY KEY (day, id), CONSTRAINT items_id_uk UNIQUE (id)
);
"""
HEADER = "-- key: id\n-- sources: shop.raw\n-- write disposition: {}\n"
SELECT = "SELECT DISTINCT ON (raw.id) raw.day, raw.id, {} AS value, raw.note\nFROM shop.raw"
LATEST = "\nORDER BY raw.id, raw.day DESC\n"
ONE_DAY = " WHERE raw.day = %(day)s"
BY_KEY = " INNER JOIN affected_items ON raw.id = affected_items.id"
BY_DAY = HEADER.format("replace partition (day)") + SELECT + ONE_DAY + LATEST
AS_A_WHOLE = HEADER.format("replace table") + SELECT + LATEST
MERGED = HEADER.format("merge by (id)") + SELECT + BY_KEY + LATEST
UPSERTED = HEADER.format("append, change all but (day)") + SELECT + ONE_DAY + LATEST
APPENDED = HEADER.format("append") + SELECT + ONE_DAY + LATEST
AFFECTED = """\
-- sources: shop.raw, shop.items
SELECT raw.id FROM shop.raw WHERE raw.day = %(day)s UNION ALL SELECT items.id FROM shop.items WHERE items.day = %(day)s
"""


class Shop:
    """A warehouse with one built table, and the folder of its SQL."""

    def __init__(self, warehouse: Connection, root: Path) -> None:
        self.warehouse, self.root = warehouse, root
        self.put("raw", "table.sql", RAW)
        self.put("items", "table.sql", TABLE)

    def put(self, table: str, file: str, text: str) -> None:
        path = self.root / "shop" / table / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def deploy(self, query: str, value: str = "raw.value") -> None:
        self.put("items", "query.sql", query.replace("{}", value))
        affected = self.root / "shop/items/affected_keys.sql"
        affected.unlink(missing_ok=True)
        if "merge by" in query:
            self.put("items", "affected_keys.sql", AFFECTED)
        apply_ddl(self.warehouse, [], ["shop"], self.root)

    def deliver(self, day: str, *rows: tuple[int, str]) -> None:
        self.warehouse.execute("DELETE FROM shop.raw WHERE day = %s", [day])
        for number, value in rows:
            self.warehouse.execute("INSERT INTO shop.raw VALUES (%s, %s, %s, 'old')", [day, number, value])

    def build(self, *days: str, force: bool = False) -> list[str]:
        receipts = [
            build_tables(
                self.warehouse,
                "shop",
                {"day": date.fromisoformat(day)},
                partition=day,
                datasets=["raw"],
                root=self.root,
                force=force,
            )
            for day in days
        ]
        return [receipt.status for (receipt,) in receipts]

    def rows(self, columns: str = "id, value") -> list[tuple[Any, ...]]:
        return self.warehouse.execute(f"SELECT {columns} FROM shop.items ORDER BY 1".encode()).fetchall()


@pytest.fixture
def shop(database: str, tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    with connect(WarehouseSettings(dsn=SecretStr(database)), "changed queries") as opened:
        yield Shop(opened, tmp_path)


# A query that changes and changes back


@pytest.mark.parametrize(("first", "second"), [(BY_DAY, AS_A_WHOLE), (MERGED, AS_A_WHOLE), (APPENDED, AS_A_WHOLE)])
def test_restored_disposition_builds_the_partitions_that_a_build_as_a_whole_wrote(
    shop: Shop, first: str, second: str
) -> None:
    shop.deploy(first)
    shop.deliver(FIRST, (1, "a"))
    shop.deliver(SECOND, (2, "b"))
    assert shop.build(FIRST, SECOND) == ["built", "built"]
    shop.deploy(second, "upper(raw.value)")
    assert shop.build(FIRST, SECOND) == ["built", "unchanged"]
    assert shop.rows() == [(1, "A"), (2, "B")]
    shop.deploy(first)
    assert shop.build(FIRST, SECOND, FIRST) == ["built", "built", "unchanged"]
    assert shop.rows() == [(1, "A" if first == APPENDED else "a"), (2, "B" if first == APPENDED else "b")]
    shop.deploy(second, "upper(raw.value)")
    assert shop.build(FIRST, SECOND) == ["built", "unchanged"]
    assert shop.rows() == [(1, "A"), (2, "B")]


def test_restored_query_of_a_merge_builds_the_partitions_whose_rows_another_query_wrote(shop: Shop) -> None:
    shop.deploy(MERGED)
    shop.deliver(FIRST, (1, "a"), (2, "a"))
    shop.deliver(SECOND, (2, "b"))
    shop.build(FIRST, SECOND)
    shop.deploy(MERGED, "upper(raw.value)")
    assert shop.build(FIRST) == ["built"]
    assert shop.rows() == [(1, "A"), (2, "B")]
    shop.deploy(MERGED)
    shop.deliver(FIRST, (1, "a"))
    assert shop.build(FIRST) == ["built"]
    assert shop.rows() == [(1, "a"), (2, "B")]
    assert shop.build(SECOND, SECOND, FIRST) == ["built", "unchanged", "unchanged"]
    assert shop.rows() == [(1, "a"), (2, "b")]


def test_restored_query_builds_only_the_partitions_that_another_query_wrote(shop: Shop) -> None:
    shop.deploy(BY_DAY)
    shop.deliver(FIRST, (1, "a"))
    shop.deliver(SECOND, (2, "b"))
    shop.build(FIRST, SECOND)
    shop.deploy(BY_DAY, "upper(raw.value)")
    shop.build(FIRST)
    shop.deploy(BY_DAY)
    assert shop.build(FIRST, SECOND) == ["built", "unchanged"]
    assert shop.rows() == [(1, "a"), (2, "b")]


def test_outdated_entry_keeps_its_inputs_except_the_sql_and_names_no_loads_of_other_rows(shop: Shop) -> None:
    shop.deploy(BY_DAY)
    shop.deliver(FIRST, (1, "a"))
    shop.build(FIRST)
    shop.deploy(AS_A_WHOLE)
    shop.build(FIRST)
    outdated, current = shop.warehouse.execute(
        "SELECT partition, fingerprint <> '', load_ids, inputs ? 'parameter day', inputs ? 'sql shop.items/query.sql'"
        " FROM ledger.builds ORDER BY partition DESC"
    ).fetchall()
    assert outdated == (FIRST, False, [], True, False)
    assert current == ("", True, [], False, True)


# A query that returns fewer columns


@pytest.mark.parametrize("query", [MERGED, UPSERTED])
def test_column_that_the_query_no_longer_returns_is_refused(shop: Shop, query: str) -> None:
    shop.deploy(query)
    shop.deliver(FIRST, (1, "a"))
    shop.build(FIRST)
    shop.deploy(query.replace(", raw.note", ""))
    message = r"query.sql: expected a value for each column of shop.items without a default, found no note: rows would"
    with pytest.raises(SqlFileError, match=message):
        shop.build(FIRST)
    assert shop.rows("id, note") == [(1, "old")]
    shop.deploy(query.replace("raw.note", "NULL AS note"))
    assert shop.build(FIRST) == ["built"]
    assert shop.rows("id, note") == [(1, None)]


@pytest.mark.parametrize("query", [MERGED, UPSERTED])
def test_column_with_a_default_needs_no_value(shop: Shop, query: str) -> None:
    shop.put("items", "table.sql", TABLE.replace("note text", "note text DEFAULT 'new'"))
    shop.deploy(query.replace(", raw.note", ""))
    shop.deliver(FIRST, (1, "a"))
    assert shop.build(FIRST) == ["built"]
    assert shop.rows("id, note") == [(1, "new")]


def test_replaced_and_appended_rows_have_no_value_of_an_earlier_query(shop: Shop) -> None:
    shop.deploy(BY_DAY)
    shop.deliver(FIRST, (1, "a"))
    shop.build(FIRST)
    shop.deploy(BY_DAY.replace(", raw.note", ""))
    assert shop.build(FIRST) == ["built"]
    assert shop.rows("id, note") == [(1, None)]
    shop.deploy(APPENDED.replace(", raw.note", ""))
    shop.deliver(SECOND, (2, "b"))
    assert shop.build(SECOND) == ["built"]
    assert shop.rows("id, note") == [(1, None), (2, None)]


# Comments


def test_comment_that_changes_causes_no_build(shop: Shop) -> None:
    shop.deploy(BY_DAY)
    shop.put("items", "checks.sql", "-- fail: no value\nSELECT items.id FROM shop.items WHERE items.value IS NULL;\n")
    shop.deliver(FIRST, (1, "a"))
    assert shop.build(FIRST) == ["built"]
    reworded = BY_DAY.replace("\nFROM", " -- it's a comment; 5 % of it\n/* and\nanother */ FROM")
    shop.deploy(reworded.replace("-- sources", "-- rules: none\n-- sources") + ";\n-- the end")
    comment = "COMMENT ON TABLE shop.items IS 'Items; one row for each';\n"
    shop.put("items", "table.sql", f"{TABLE}\n-- the comment\n{comment}")
    checks = (
        "-- fail: value is missing\n--   Ask.\nSELECT items.id FROM shop.items\nWHERE items.value IS NULL; -- end\n"
    )
    shop.put("items", "checks.sql", checks)
    assert shop.build(FIRST) == ["unchanged"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("query.sql", "raw.value AS", "raw.value || '--' AS"),
        ("query.sql", "-- key: id", "-- key: id, day"),
        ("query.sql", "replace partition (day)", "append"),
        ("table.sql", "note text", "note text DEFAULT ' '"),
        ("checks.sql", "-- warn", "-- fail"),
        ("checks.sql", "'  '", "' '"),
    ],
)
def test_change_that_is_no_comment_causes_a_build(shop: Shop, file: str, old: str, new: str) -> None:
    shop.deploy(BY_DAY)
    checks = "-- warn: blank value\nSELECT items.id FROM shop.items WHERE items.value = '  ';\n"
    shop.put("items", "checks.sql", checks)
    shop.deliver(FIRST, (1, "a"))
    shop.build(FIRST)
    text = (shop.root / "shop/items" / file).read_text()
    assert old in text
    shop.put("items", file, text.replace(old, new))
    assert shop.build(FIRST) == ["built"]


@pytest.mark.parametrize("query", [BY_DAY, AS_A_WHOLE, MERGED, UPSERTED, APPENDED])
@pytest.mark.parametrize(
    "form",
    [
        "{} -- the end",
        "{};\n-- the end; 5 % of it",
        "{} -- of %(other)s;",
        "{}; /* a; /* b */ -- */ ;;",
        "WITH found AS ({}) -- found\nSELECT found.* FROM found",
        "({})",
        "SELECT q.* FROM ({}) AS q WHERE q.value <> '--;' AND q.value <> $q$ -- ' ; $q$",
    ],
)
def test_query_may_end_and_contain_comments_and_quotes_in_every_way(shop: Shop, query: str, form: str) -> None:
    place = query.index("SELECT")
    shop.deploy(query[:place] + form.replace("{}", query[place:].strip()))
    shop.put("items", "checks.sql", "-- fail: no value\nSELECT items.id FROM shop.items WHERE false; -- 5 % of it\n")
    shop.deliver(FIRST, (1, "a"))
    assert shop.build(FIRST) == ["built"]
    assert shop.rows() == [(1, "a")]
