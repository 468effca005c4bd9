"""What a build depends on besides its files: parameters, shared tables and loads that belong to every partition."""

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.engine import ledger
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.receipts import ObjectRef
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

FILES = {
    "common/names/table.sql": """\
-- sources: none
-- write disposition: fill shared table
CREATE TABLE IF NOT EXISTS common.names (number int NOT NULL, name text NOT NULL);
""",
    "common/names/query.sql": """\
-- key: number
-- sources: none
-- write disposition: fill shared table
SELECT n AS number, %(name)s AS name FROM generate_series(1, %(count)s) AS n
""",
    "shop/counts/table.sql": """\
-- sources: none
-- write disposition: replace partition (day)
CREATE TABLE IF NOT EXISTS shop.counts (day date NOT NULL, letters int);
""",
    "shop/counts/query.sql": """\
-- key: day
-- sources: common.names
-- write disposition: replace partition (day)
SELECT %(day)s::date AS day, sum(length(names.name))::int * %(factor)s AS letters FROM common.names
""",
}
Fill = Callable[..., str]
Count = Callable[..., tuple[str, list[int]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for file, text in FILES.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def connection(database: str, root: Path) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "shared tables") as connection:
        apply_ddl(connection, [], ["common", "shop"], root)
        yield connection


@pytest.fixture
def fill(connection: Connection, root: Path) -> Fill:
    def run(name: str, count: int = 2, *, force: bool = False) -> str:
        parameters = {"name": name, "count": count}
        (receipt,) = build_tables(
            connection, "common", parameters, partition="", datasets=["names"], force=force, root=root
        )
        return receipt.status

    return run


@pytest.fixture
def count(connection: Connection, root: Path) -> Count:
    def run(day: str = "2021-04-01", factor: int = 1) -> tuple[str, list[int]]:
        parameters = {"day": date.fromisoformat(day), "factor": factor}
        (receipt,) = build_tables(connection, "shop", parameters, partition=day, datasets=["orders"], root=root)
        rows = connection.execute("SELECT letters FROM shop.counts ORDER BY day").fetchall()
        return receipt.status, [letters for (letters,) in rows]

    return run


def names(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM common.names ORDER BY number, name")]


def test_empty_shared_table_is_filled_and_our_rows_follow_their_source(connection: Connection, fill: Fill) -> None:
    assert [fill("a"), fill("a"), fill("b", 3)] == ["built", "unchanged", "built"]
    assert names(connection) == ["b", "b", "b"]


def test_shared_table_that_was_emptied_is_filled_again(connection: Connection, fill: Fill) -> None:
    fill("a")
    connection.execute("TRUNCATE common.names")
    assert fill("a") == "built"
    assert names(connection) == ["a", "a"]


@pytest.mark.parametrize("force", [False, True])
def test_rows_of_other_owners_are_kept(connection: Connection, fill: Fill, force: bool) -> None:
    connection.execute("INSERT INTO common.names VALUES (7, 'theirs')")
    assert fill("a", force=force) == "kept"
    assert names(connection) == ["theirs"]
    assert connection.execute("SELECT count(*) FROM ledger.builds").fetchone() == (0,)


def test_rows_that_other_owners_added_are_kept(connection: Connection, fill: Fill) -> None:
    fill("a")
    connection.execute("INSERT INTO common.names VALUES (7, 'theirs')")
    assert fill("b") == "kept"
    assert names(connection) == ["a", "a", "theirs"]


def test_rows_of_other_owners_are_kept_in_a_table_without_rows_of_tally(connection: Connection, fill: Fill) -> None:
    assert [fill("a", 0), fill("a", 0)] == ["built", "unchanged"]
    connection.execute("INSERT INTO common.names VALUES (7, 'theirs')")
    assert fill("b") == "kept"


def test_ddl_keeps_a_shared_table_of_another_owner_unchanged(connection: Connection, root: Path) -> None:
    connection.execute("DROP TABLE common.names; CREATE VIEW common.names AS SELECT 1 AS number, 'theirs' AS name")
    connection.execute("TRUNCATE ledger.applied_files")
    assert "common.names" not in apply_ddl(connection, [], ["common", "shop"], root)
    assert names(connection) == ["theirs"]


def test_change_of_a_shared_table_builds_what_reads_it(connection: Connection, fill: Fill, count: Count) -> None:
    fill("a")
    assert [count(), count()] == [("built", [2]), ("unchanged", [2])]
    connection.execute("UPDATE common.names SET name = 'abc' WHERE number = 1")
    assert count() == ("built", [4])


def test_other_values_of_parameters_build_again(fill: Fill, count: Count) -> None:
    fill("a")
    assert [count(), count(factor=5), count(factor=5)] == [("built", [2]), ("built", [10]), ("unchanged", [10])]


def test_load_of_a_dataset_without_partitions_builds_every_partition(
    connection: Connection, fill: Fill, count: Count
) -> None:
    fill("a")
    for day in ("2021-04-01", "2021-04-02"):
        count(day)
    ledger.open_load(connection, "orders", ObjectRef("s3://lake/orders.csv", "v1", 1, ""), None)
    assert [count(day)[0] for day in ("2021-04-01", "2021-04-02", "2021-04-02")] == ["built", "built", "unchanged"]


def test_ledger_holds_one_loaded_entry_of_a_dataset_without_partitions(connection: Connection) -> None:
    for key in ("orders.csv", "order.csv"):
        source = ObjectRef(f"s3://lake/{key}", "v1", 1, "")
        with connection.transaction():
            load_id = ledger.open_load(connection, "orders", source, None)
    entries = connection.execute("SELECT status, superseded_by FROM ledger.loads ORDER BY load_id").fetchall()
    assert entries == [("superseded", load_id), ("loaded", None)]
