"""Numbered migrations: once, in order, in the transaction of the DDL step, recorded, and never edited afterwards."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_dataset import THINGS, connection, load, put

from tasks.contracts import Column
from tasks.contracts.types import DATE, INTEGER, TEXT
from tasks.engine.build import sql_files
from tasks.engine.errors import SchemaDriftError, SqlFileError, WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.usefixtures("database", "bucket")

OLD = replace(THINGS, columns=(Column("x", INTEGER, "X."),))
NEW = replace(THINGS, columns=(Column("y", TEXT, "Y."),))
RENAME = 'op.alter_column("things", "x", new_column_name="y", schema="things_staging")'
RETYPE = "op.execute('ALTER TABLE things_staging.things ALTER y TYPE text')"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    return tmp_path


def migration(root: Path, number: int, body: str, *, name: str = "change", down: int | None = None) -> Path:
    folder = root / "things_staging" / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:04}_{name}.py"
    before = number - 1 if down is None else down
    down_revision = f'"{before:04}"' if before else "None"
    path.write_text(
        f'"""A change."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\nrevision = "{number:04}"\n'
        f"down_revision = {down_revision}\n\n\ndef upgrade() -> None:\n    {body}\n",
        encoding="utf-8",
    )
    return path


def rows(postgres: Connection, query: str) -> list[tuple[Any, ...]]:
    return postgres.execute(query.encode()).fetchall()


def deployed(postgres: Connection, root: Path) -> None:
    apply_ddl(postgres, [OLD], [], root)
    load(postgres, put(b"x\n1\n"), contract=OLD)


def test_migrations_run_once_in_order_and_the_table_is_compared_afterwards(postgres: Connection, root: Path) -> None:
    deployed(postgres, root)
    migration(root, 1, RENAME)
    migration(root, 2, RETYPE)
    paths = [f"sql/things_staging/migrations/000{number}_change.py" for number in (1, 2)]
    assert apply_ddl(postgres, [NEW], [], root) == [*paths, "things_staging.things", "things_staging.things_ingested"]
    assert rows(postgres, "SELECT y FROM things_staging.things") == [("1",)]
    assert apply_ddl(postgres, [NEW], [], root) == []
    migration(root, 3, "op.execute(sa.text(\"UPDATE things_staging.things SET y = y || '!'\"))")
    assert apply_ddl(postgres, [NEW], [], root)[0].endswith("0003_change.py")
    assert rows(postgres, "SELECT y FROM things_staging.things") == [("1!",)]


def test_migration_may_read_what_it_changes(postgres: Connection, root: Path) -> None:
    deployed(postgres, root)
    body = 'assert op.get_bind().execute(sa.text("SELECT x FROM things_staging.things")).scalar() == 1; ' + RENAME
    migration(root, 1, body)
    migration(root, 2, RETYPE)
    apply_ddl(postgres, [NEW], [], root)
    assert rows(postgres, "SELECT y FROM things_staging.things") == [("1",)]


def test_new_schema_records_migrations_and_runs_none(postgres: Connection, root: Path) -> None:
    migration(root, 1, "raise AssertionError")
    assert apply_ddl(postgres, [NEW], [], root)[-2] == "things_staging.things"
    assert rows(postgres, "SELECT path FROM ledger.applied_files WHERE path LIKE 'sql/%'") == [
        ("sql/things_staging/migrations/0001_change.py",)
    ]
    assert apply_ddl(postgres, [NEW], [], root) == []


def test_failed_migration_rolls_back_the_earlier_migrations(postgres: Connection, root: Path) -> None:
    deployed(postgres, root)
    migration(root, 1, RENAME)
    migration(root, 2, "op.execute('ALTER TABLE things_staging.things ALTER z TYPE text')")
    with pytest.raises(WarehouseError, match=r"42703.*\(migration sql/things_staging/migrations/0002_change\.py\)"):
        apply_ddl(postgres, [NEW], [], root)
    assert rows(postgres, "SELECT x FROM things_staging.things") == [(1,)]
    assert rows(postgres, "SELECT path FROM ledger.applied_files WHERE path LIKE 'sql/%'") == []


def test_migration_to_another_table_than_that_of_the_contract_is_rolled_back(postgres: Connection, root: Path) -> None:
    deployed(postgres, root)
    migration(root, 1, RENAME)
    with pytest.raises(SchemaDriftError, match="column y: expected text, found integer"):
        apply_ddl(postgres, [NEW], [], root)
    assert rows(postgres, "SELECT x FROM things_staging.things") == [(1,)]


def test_edited_and_removed_migrations_are_refused(postgres: Connection, root: Path) -> None:
    apply_ddl(postgres, [NEW], [], root)
    path = migration(root, 1, "pass")
    apply_ddl(postgres, [NEW], [], root)
    text = path.read_text()
    path.write_text(text + "\n")
    with pytest.raises(SchemaDriftError, match=r"0001_change\.py: expected the applied file"):
        apply_ddl(postgres, [NEW], [], root)
    path.unlink()
    with pytest.raises(SchemaDriftError, match=r"0001_change\.py: expected the file of an applied migration"):
        apply_ddl(postgres, [NEW], [], root)


@pytest.mark.parametrize(("number", "name"), [(3, "gap"), (1, "twice")])
def test_gap_and_doubled_number_are_refused(postgres: Connection, root: Path, number: int, name: str) -> None:
    apply_ddl(postgres, [NEW], [], root)
    migration(root, 1, "pass")
    migration(root, number, "pass", name=name, down=0)
    with pytest.raises(SqlFileError, match="numbered from 0001, without a gap, each number once"):
        apply_ddl(postgres, [NEW], [], root)


def test_revisions_that_do_not_follow_each_other_are_refused(postgres: Connection, root: Path) -> None:
    apply_ddl(postgres, [NEW], [], root)
    migration(root, 1, "pass")
    migration(root, 2, "pass", down=0)
    with pytest.raises(SqlFileError, match="one after the other"):
        apply_ddl(postgres, [NEW], [], root)


def test_dropped_ledger_does_not_run_migrations_again(postgres: Connection, root: Path) -> None:
    apply_ddl(postgres, [NEW], [], root)
    migration(root, 1, "pass")
    apply_ddl(postgres, [NEW], [], root)
    postgres.execute("DROP SCHEMA ledger CASCADE")
    apply_ddl(postgres, [], [], root)
    with pytest.raises(SchemaDriftError, match="the applied migrations are unknown") as caught:
        apply_ddl(postgres, [NEW], [], root)
    postgres.execute(str(caught.value).partition(":\n")[2].encode())
    assert apply_ddl(postgres, [NEW], [], root) == ["things_staging.things", "things_staging.things_ingested"]


def test_migration_with_an_older_number_than_the_last_applied_is_refused(postgres: Connection, root: Path) -> None:
    apply_ddl(postgres, [replace(NEW, columns=(*NEW.columns, Column("z", DATE, "Z.")))], [], root)
    migration(root, 1, "pass")
    migration(root, 2, "pass")
    postgres.execute("INSERT INTO ledger.applied_files (path, sha256) SELECT 'sql/things_staging/migrations/' ||"
                     " '0002_change.py', %s", [__import__("hashlib").sha256((root / "things_staging" / "migrations" /
                     "0002_change.py").read_bytes()).hexdigest()])  # fmt: skip
    with pytest.raises(SchemaDriftError, match=r"0001_change\.py: expected migrations in order"):
        apply_ddl(postgres, [NEW], [], root)
