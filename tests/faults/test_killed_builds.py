"""kill -9 at every step of a build: readers see tables of one state only, and the next run builds the tables."""

from pathlib import Path
from typing import Any

import pytest
from faults.aftermath import left_behind, wait_for, watching_query
from faults.driver import COMMIT
from faults.processes import Death, Job, drivers, run_until_death
from sample_dataset import HEADER, THINGS, connection, load, put

from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

TABLES = {
    "names": "SELECT name FROM things_staging.things",
    "name_counts": "SELECT count(*) AS name_count FROM things_marts.names",
}
SOURCES = {"names": "things_staging.things", "name_counts": "things_marts.names"}
COLUMNS = {"names": "name text", "name_counts": "name_count bigint"}
BOTH = (
    "SELECT (SELECT string_agg(name, ',' ORDER BY name) FROM things_marts.names),"
    " (SELECT name_count FROM things_marts.name_counts)"
)
OLD, NEW = ("a,b", 2), ("c,d,e", 3)
DEATHS = {
    "marts locked": Death("tasks.engine.build.builder:lock"),
    "first table emptied": Death("psycopg:Connection.execute", containing="DELETE FROM"),
    "first table written": Death("tasks.engine.build.builder:write_query"),
    "first table checked": Death("tasks.engine.build.builder:run_checks"),
    "first table entered": Death("tasks.engine.ledger:write_build"),
    "second table written": Death("tasks.engine.build.builder:write_query", count=2),
    "about to commit": Death(COMMIT, "before"),
}


MERGE_DEATHS = {
    "affected keys of the first table": Death("tasks.engine.build.builder:write_affected_keys"),
    "first table's result there": Death("psycopg:Connection.execute", containing="ANALYZE"),
    "old rows removed": Death("psycopg:Connection.execute", containing="DELETE FROM"),
    "new rows merged": Death("psycopg:Connection.execute", containing="ON CONFLICT"),
    "about to commit": Death(COMMIT, "before"),
}
HISTORY_DEATHS = {
    "changed keys there": Death("psycopg:Connection.execute", containing="CREATE TEMP TABLE"),
    "old rows ended": Death("psycopg:Connection.execute", containing="UPDATE"),
    "new rows inserted": Death("psycopg:Connection.execute", containing=", valid_from, valid_to)"),
    "history written": Death("tasks.engine.build.builder:write_query"),
    "about to commit": Death(COMMIT, "before"),
}
VERSIONS = "SELECT name, valid_to IS NULL FROM things_marts.names ORDER BY name"
CURRENT = f"SELECT string_agg(name, ',') FROM ({VERSIONS.replace('ORDER', 'WHERE valid_to IS NULL ORDER')}) AS n"
AFFECTED_KEYS = "SELECT name FROM things_staging.things UNION SELECT name FROM things_marts.names"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """SQL of two tables; the second reads the first."""
    for schema, table in [("things_marts", table) for table in TABLES]:
        folder = tmp_path / schema / table
        folder.mkdir(parents=True)
        ddl = f"CREATE TABLE IF NOT EXISTS {schema}.{table} ({COLUMNS[table]});\n"
        (folder / "table.sql").write_text(f"-- sources: {SOURCES[table]}\n{ddl}")
        header = f"-- sources: {SOURCES[table]}\n-- write disposition: replace table\n"
        (folder / "query.sql").write_text(header + TABLES[table])
        (folder / "checks.sql").write_text(f"-- fail: filled\nSELECT 1 WHERE NOT EXISTS (SELECT FROM {schema}.{table})")
    (tmp_path / "ledger").symlink_to(sql_files.ROOT / "ledger")
    return tmp_path


@pytest.fixture
def merging_root(root: Path) -> Path:
    """The same SQL with a merge for the first table."""
    folder = root / "things_marts" / "names"
    query = (folder / "query.sql").read_text()
    (folder / "query.sql").write_text("-- key: name\n" + query.replace("replace table", "merge by (name)"))
    (folder / "affected_keys.sql").write_text(AFFECTED_KEYS)
    ddl = (folder / "table.sql").read_text()
    (folder / "table.sql").write_text(ddl.replace("name text", "name text PRIMARY KEY"))
    return root


@pytest.fixture
def history_root(root: Path) -> Path:
    """The same SQL with a history for the first table."""
    folder = root / "things_marts" / "names"
    query = (folder / "query.sql").read_text()
    query = query.replace("replace table", "history by (name)")
    (folder / "query.sql").write_text(f"-- key: name, valid_from\n{query}")
    ddl = (folder / "table.sql").read_text()
    columns = "name text, valid_from timestamptz, valid_to timestamptz, UNIQUE (name, valid_from)"
    (folder / "table.sql").write_text(ddl.replace("name text", columns))
    return root


def build(postgres: Connection, root: Path) -> list[str]:
    receipts = build_tables(postgres, "things_marts", {}, partition="2021-04", datasets=["things"], root=root)
    return [receipt.status for receipt in receipts]


def builds(postgres: Connection) -> list[tuple[Any, ...]]:
    columns = "table_name, partition, fingerprint, row_count"
    return postgres.execute(f"SELECT {columns} FROM ledger.builds ORDER BY 1, 2").fetchall()


@pytest.fixture
def stale_marts(postgres: Connection, root: Path) -> list[tuple[Any, ...]]:
    """Marts of the old month after the load of the new month; returns the entries of an undisturbed build."""
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    load(postgres, put(HEADER + b"a,\nb,\n"))
    assert build(postgres, root) == ["built", "built"]
    load(postgres, put(HEADER + b"c,\nd,\ne,\n"))
    with postgres.transaction(force_rollback=True):
        build(postgres, root)
        return builds(postgres)


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_killed_build_leaves_all_tables_old_and_the_next_run_builds_them(
    postgres: Connection, database: str, root: Path, stale_marts: list[tuple[Any, ...]], death: Death
) -> None:
    with watching_query(database, BOTH) as seen:
        run_until_death(Job("build", {"root": str(root)}, death))
        assert left_behind(postgres) == {}
        assert postgres.execute(BOTH).fetchone() == OLD
        assert build(postgres, root) == ["built", "built"]
    assert builds(postgres) == stale_marts
    assert seen == {OLD, NEW}


@pytest.mark.parametrize("death", MERGE_DEATHS.values(), ids=MERGE_DEATHS)
def test_killed_merge_leaves_all_tables_old_and_the_next_run_merges_them(
    postgres: Connection, database: str, merging_root: Path, death: Death
) -> None:
    apply_ddl(postgres, [THINGS], ["things_marts"], merging_root)
    load(postgres, put(HEADER + b"a,\nb,\n"))
    build(postgres, merging_root)
    load(postgres, put(HEADER + b"c,\nd,\ne,\n"))
    with watching_query(database, BOTH) as seen:
        run_until_death(Job("build", {"root": str(merging_root)}, death))
        assert left_behind(postgres) == {}
        assert postgres.execute(BOTH).fetchone() == OLD
        assert build(postgres, merging_root) == ["built", "built"]
    assert [row[3] for row in builds(postgres)] == [1, 5]  # three new names, two removed names
    assert seen == {OLD, NEW}


@pytest.mark.parametrize("death", HISTORY_DEATHS.values(), ids=HISTORY_DEATHS)
def test_killed_build_of_a_history_changes_no_version_and_the_next_run_writes_them(
    postgres: Connection, database: str, history_root: Path, death: Death
) -> None:
    apply_ddl(postgres, [THINGS], ["things_marts"], history_root)
    load(postgres, put(HEADER + b"a,\nb,\n"))
    build(postgres, history_root)
    load(postgres, put(HEADER + b"b,\nc,\n"))
    with watching_query(database, CURRENT) as seen:
        run_until_death(Job("build", {"root": str(history_root)}, death))
        assert left_behind(postgres) == {}
        assert build(postgres, history_root) == ["built", "built"]
    assert postgres.execute(VERSIONS).fetchall() == [("a", False), ("b", True), ("c", True)]
    assert seen == {("a,b",), ("b,c",)}


def test_build_killed_after_its_commit_is_skipped_by_the_next_run(
    postgres: Connection, database: str, root: Path, stale_marts: list[tuple[Any, ...]]
) -> None:
    with watching_query(database, BOTH) as seen:
        run_until_death(Job("build", {"root": str(root)}, Death(COMMIT)))
        assert left_behind(postgres) == {}
        assert build(postgres, root) == ["unchanged", "unchanged"]
    assert builds(postgres) == stale_marts
    assert seen == {OLD, NEW}


def test_build_killed_while_the_server_works_for_it_gives_its_locks_back(
    postgres: Connection, root: Path, stale_marts: list[tuple[Any, ...]]
) -> None:
    waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'driver' AND wait_event_type = 'Lock'"
    with (
        drivers(Job("build", {"root": str(root)})) as (driver,),
        connection("test") as other,
        other.transaction(),
    ):
        other.execute("LOCK TABLE things_marts.names IN SHARE MODE")  # the build's statement waits for this lock
        driver.go()
        wait_for(lambda: bool(postgres.execute(waiting).fetchall()), "the build")
        driver.kill()
        gone = "SELECT FROM pg_stat_activity WHERE application_name = 'driver'"
        wait_for(lambda: not postgres.execute(gone).fetchall(), "the end of its session")
    assert left_behind(postgres) == {}
    assert build(postgres, root) == ["built", "built"]
    assert builds(postgres) == stale_marts
