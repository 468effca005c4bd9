"""The reset of a dataset: everything of it goes, nothing else does, and the next run makes it again."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_dataset import THINGS, connection, load, put

from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import ResetError, ShrinkError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.reset import plan_reset, reset_dataset
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.usefixtures("database", "bucket")

OTHER = replace(THINGS, dataset="others", table="things_staging.others")
MART = """\
-- grain: one thing
-- key: month, name
-- parameters: month
-- sources: things_staging.things{also}
-- write disposition: replace partition (month)
"""
FILES = {
    "names/table.sql": MART.format(also="") + "CREATE TABLE IF NOT EXISTS marts.names (month date, name text);\n",
    "names/query.sql": MART.format(also="") + "SELECT month, name FROM things_staging.things WHERE month = %(month)s",
    "both/table.sql": MART.format(also="") + "CREATE TABLE IF NOT EXISTS marts.both (month date, name text);\n",
    "both/query.sql": MART.format(also=", things_staging.others")
    + "SELECT month, name FROM things_staging.things WHERE month = %(month)s"
    " UNION ALL SELECT month, name FROM things_staging.others WHERE month = %(month)s",
    "longest/table.sql": "-- sources: marts.names\n"
    "CREATE OR REPLACE VIEW marts.longest AS SELECT name FROM marts.names;\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for name, text in FILES.items():
        path = tmp_path / "marts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        yield opened


def run(postgres: Connection, root: Path) -> dict[str, Any]:
    apply_ddl(postgres, [THINGS, OTHER], ["marts"], root)
    load(postgres, put(b"name,day\na,2021-04-01\nb,x\n"))
    load(postgres, put(b"name,day\nc,2021-04-01\n", "others.csv"), contract=OTHER)
    build_tables(
        postgres, "marts", {"month": "2021-04-01"}, partition="2021-04", datasets=["things", "others"], root=root
    )
    tables = ["things_staging.things", "things_staging.others", "marts.names", "marts.both", "marts.longest"]
    return {name: postgres.execute(f"SELECT name FROM {name} ORDER BY 1".encode()).fetchall() for name in tables}


def entries(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute("SELECT dataset, status FROM ledger.loads ORDER BY load_id").fetchall()


def test_reset_removes_all_of_a_dataset_and_the_next_run_loads_it_again(postgres: Connection, root: Path) -> None:
    before = run(postgres, root)
    planned = plan_reset(postgres, THINGS, [THINGS, OTHER], root)
    assert run(postgres, root) == before  # the plan removed nothing
    done = reset_dataset(postgres, THINGS, [THINGS, OTHER], root)
    assert done == planned
    staged = {"things_staging.things": 1, "things_staging.things_ingested": 0}
    assert dict(done.tables) == {"marts.longest": 0, "marts.names": 1} | staged
    assert done.rebuilt == ("marts.both",)
    assert dict(done.entries).items() >= {"ledger.loads": 1, "ledger.rejected_rows": 1, "ledger.builds": 2}.items()
    assert entries(postgres) == [("others", "loaded")]
    assert postgres.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^(things|names|longest)'").fetchone() == (
        0,
    )
    assert run(postgres, root) == before
    assert plan_reset(postgres, THINGS, [THINGS, OTHER], root).tables


def test_attempts_of_the_dataset_go_and_the_dry_run_counts_them(postgres: Connection, root: Path) -> None:
    run(postgres, root)
    with pytest.raises(ShrinkError):
        load(postgres, put(b"name,day\n"))
    attempts = "SELECT dataset, status FROM ledger.load_attempts ORDER BY attempt_id"
    before = postgres.execute(attempts).fetchall()
    assert before == [("things", "loaded"), ("others", "loaded"), ("things", "failed")]
    assert dict(plan_reset(postgres, THINGS, [THINGS, OTHER], root).entries)["ledger.load_attempts"] == 2
    assert postgres.execute(attempts).fetchall() == before
    assert dict(reset_dataset(postgres, THINGS, [THINGS, OTHER], root).entries)["ledger.load_attempts"] == 2
    assert postgres.execute(attempts).fetchall() == [("others", "loaded")]


def test_reset_of_what_does_not_exist_removes_nothing(postgres: Connection, root: Path) -> None:
    empty = plan_reset(postgres, THINGS, [THINGS], root)
    assert (empty.tables, empty.entries, empty.exports) == ((), (), ())
    apply_ddl(postgres, [], [], root)
    assert reset_dataset(postgres, THINGS, [THINGS], root).tables == ()


def test_view_of_somebody_else_refuses_the_reset(postgres: Connection, root: Path) -> None:
    run(postgres, root)
    postgres.execute("CREATE VIEW marts.mine AS SELECT name FROM things_staging.things")
    with pytest.raises(ResetError, match=r"found marts\.mine"):
        reset_dataset(postgres, THINGS, [THINGS, OTHER], root)
    assert entries(postgres) == [("things", "loaded"), ("others", "loaded")]


def test_reset_after_the_ledger_was_dropped_lets_the_dataset_be_loaded_again(postgres: Connection, root: Path) -> None:
    before = run(postgres, root)
    postgres.execute("DROP SCHEMA ledger CASCADE")
    apply_ddl(postgres, [], [], root)
    for contract in (THINGS, OTHER):
        reset_dataset(postgres, contract, [THINGS, OTHER], root)
    assert run(postgres, root) == before


def test_dataset_of_a_sync_is_refused_with_the_reason() -> None:
    synced = replace(THINGS, prefix=None, key=None, partition=None)
    with connection() as opened, pytest.raises(ResetError, match="run the flow with full=true"):
        plan_reset(opened, synced, [synced])
