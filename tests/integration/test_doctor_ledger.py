"""The doctor's checks of the ledger, the tables and the rights, each with a sound and a broken warehouse."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from doctor_findings import only, outcome_of
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sample_dataset import HEADER, THINGS, connection, load, put

from tasks.doctor.services import built_tables
from tasks.engine import ledger
from tasks.engine.build.sql_files import sql_table
from tasks.engine.doctor.built_rows import check_built_rows
from tasks.engine.doctor.ledger_state import (
    LedgerState,
    check_attempts,
    check_balance,
    check_builds,
    check_counts,
    check_datasets,
    check_rejected,
)
from tasks.engine.doctor.schema_state import (
    SchemaState,
    check_drift,
    check_indexes,
    check_migrations,
    check_missing,
)
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.rights import pipelines
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.usefixtures("database", "bucket")

MARTS = {
    "table.sql": "-- grain: one count\n-- key: none\n-- sources: none\n-- write disposition: replace table\n"
    "CREATE TABLE IF NOT EXISTS things_marts.counts (row_count bigint NOT NULL);\n"
    "COMMENT ON TABLE things_marts.counts IS 'Counts';\n",
    "query.sql": "-- grain: one count\n-- key: row_count\n-- parameters: none\n-- sources: things_staging.things\n"
    "-- write disposition: replace table\n-- rules: none\nSELECT count(*) AS row_count FROM things_staging.things\n",
}
VIEW = "CREATE OR REPLACE VIEW things_marts.newest AS SELECT row_count FROM things_marts.counts;\n"


@pytest.fixture
def postgres() -> Iterator[Connection]:
    with connection() as opened:
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of SQL with one mart and one view, and the ledger's own files."""
    from tasks.engine.build.sql_files import ROOT

    for file, text in MARTS.items():
        (tmp_path / "things_marts" / "counts").mkdir(parents=True, exist_ok=True)
        (tmp_path / "things_marts" / "counts" / file).write_text(text)
    header = "-- grain: one count\n-- key: none\n-- sources: things_marts.counts\n-- write disposition: none\n"
    (tmp_path / "things_marts" / "newest").mkdir()
    (tmp_path / "things_marts" / "newest" / "table.sql").write_text(header + VIEW)
    (tmp_path / "ledger").symlink_to(ROOT / "ledger")
    return tmp_path


@pytest.fixture
def ready(postgres: Connection, root: Path) -> LedgerState:
    """A warehouse with one load of two rows and one rejected row, and a built mart."""
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    load(postgres, put(HEADER + b"a,2021-04-01\nb,2021-04-02\nc,April\n"))
    postgres.execute("INSERT INTO things_marts.counts VALUES (2)")
    ledger.write_build(postgres, "things_marts.counts", "", "f", 1, None, {"dataset things": "x"})
    settings = WarehouseSettings.model_validate({"dsn": "dbname=x"})
    built = ["things_marts.counts"]
    return LedgerState(Warehouse(postgres, settings), [THINGS], {name: sql_table(name, root) for name in built})


def schema_of(ready: LedgerState, root: Path) -> SchemaState:
    return SchemaState(ready.warehouse, [THINGS], ["things_marts"], root)


def test_sound_ledger_has_no_finding(ready: LedgerState) -> None:
    checks = (
        check_balance,
        check_counts,
        check_rejected,
        check_attempts,
        check_datasets,
        check_builds,
        check_built_rows,
    )
    for check in checks:
        assert outcome_of(check, ready) == "ok", check


def test_replayed_rows_still_equal_the_ledger(ready: LedgerState, postgres: Connection) -> None:
    lenient = replace(THINGS, columns=(THINGS.columns[0], replace(THINGS.columns[1], derive=lambda _: "2021-04-03")))
    (rejected,) = rejected_loads(postgres, "things", None)
    assert replay_load(postgres, lenient, rejected).rows_loaded == 1
    assert outcome_of(check_counts, ready) == "ok"
    assert outcome_of(check_rejected, ready) == "ok"
    postgres.execute("UPDATE ledger.rejected_rows SET resolved_by = NULL")
    assert "1 rows loaded, 0 resolved" in only(check_rejected(ready), "problem").found


def test_replaced_rows_still_equal_the_ledger(ready: LedgerState, postgres: Connection) -> None:
    load(postgres, put(HEADER + b"z,2021-04-09\n"))
    assert outcome_of(check_counts, ready) == "ok"
    assert outcome_of(check_rejected, ready) == "ok"


def test_load_that_does_not_balance_is_a_problem(ready: LedgerState, postgres: Connection) -> None:
    postgres.execute("ALTER TABLE ledger.loads DROP CONSTRAINT loads_rows_read_ck")
    postgres.execute("UPDATE ledger.loads SET rows_read = rows_read + 1")
    found = only(check_balance(ready), "problem")
    assert "load 1 (things 2021-04): 4 read, 2 loaded, 1 rejected" in found.found
    assert "-p dataset=things" in found.next_step


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM things_staging.things WHERE name = 'a'", "2 rows in the ledger, 1 in the table"),
        ("TRUNCATE things_staging.things", "2 rows in the ledger, 0 in the table"),
        (
            "INSERT INTO things_staging.things SELECT * FROM things_staging.things",
            "2 rows in the ledger, 4 in the table",
        ),
        ("UPDATE ledger.loads SET rows_loaded = 3, rows_read = 4", "3 rows in the ledger, 2 in the table"),
        (
            "INSERT INTO things_staging.things SELECT month, 99, name FROM things_staging.things",
            "no loaded entry of the ledger: 2 rows of load 99",
        ),
        ("UPDATE ledger.loads SET status = 'lost'", "no loaded entry of the ledger: 2 rows of load 1"),
        ("DROP TABLE things_staging.things CASCADE", "things_staging.things does not exist, and the ledger has loads"),
    ],
)
def test_rows_that_the_ledger_does_not_count_are_a_problem(
    ready: LedgerState, postgres: Connection, change: str, words: str
) -> None:
    postgres.execute(change.encode())
    assert words in only(check_counts(ready), "problem").found


def test_empty_load_and_missing_table_are_no_problem(ready: LedgerState, postgres: Connection) -> None:
    load(postgres, put(HEADER + b"x,May\n", "2021/05/things.csv", "2021-05"))
    assert outcome_of(check_counts, ready) == "ok"
    postgres.execute("UPDATE ledger.loads SET status = 'lost'; DROP TABLE things_staging.things CASCADE")
    assert outcome_of(check_counts, ready) == "skipped"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM ledger.rejected_rows",
        "INSERT INTO ledger.rejected_rows (load_id, line_number, reason, raw) VALUES (1, 9, 'x', 'x')",
    ],
)
def test_rejected_rows_that_differ_from_the_count_are_a_problem(
    ready: LedgerState, postgres: Connection, change: str
) -> None:
    postgres.execute(change.encode())
    assert "load 1 (things 2021-04): 1 rejected" in only(check_rejected(ready), "problem").found


def test_attempt_of_a_dead_session_is_reported(ready: LedgerState, postgres: Connection, database: str) -> None:
    entry = (
        "INSERT INTO ledger.load_attempts (dataset, partition, source_uri, source_version, size_bytes)"
        " VALUES ('things', '2021-05', 's3://b/k', 'v', 1)"
    )
    postgres.execute(entry.encode())
    assert outcome_of(check_attempts, ready) == "ok"  # this session lives
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(entry.encode())
        pid = other.info.backend_pid
        assert outcome_of(check_attempts, ready) == "ok"
    postgres.execute("SELECT pg_terminate_backend(%s)", [pid])
    while postgres.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
        pass
    found = only(check_attempts(ready), "warning")
    assert found.found.startswith("1 attempt to load")
    assert "s3://b/k" in found.found
    assert "things 2021-05" in found.next_step


def test_dataset_without_a_contract_is_reported(ready: LedgerState) -> None:
    assert "things (1 load)" in only(check_datasets(replace(ready, contracts=[])), "warning").found


def test_build_of_a_dropped_table_is_a_problem(ready: LedgerState, postgres: Connection) -> None:
    postgres.execute("DROP TABLE things_marts.counts CASCADE")
    assert "things_marts.counts" in only(check_builds(ready), "problem").found


def test_build_without_a_query_is_reported(ready: LedgerState) -> None:
    assert (
        "without a query: things_marts.counts" in only(check_builds(replace(ready, built=frozenset())), "warning").found
    )


def test_vanished_inputs_of_builds_are_reported(ready: LedgerState, postgres: Connection) -> None:
    ledger.write_build(postgres, "things_marts.counts", "a", "f", 1, None, {"dataset gone": "x", "table no.such": "x"})
    postgres.execute(
        "INSERT INTO ledger.finished_partitions (dataset, partition, load_ids, schemas, sql_digest)"
        " VALUES ('things', '2021-04', '{1,77}', '{}', '')"
    )
    found = only(check_builds(ready), "warning").found
    assert "things_marts.counts was built from dataset gone" in found
    assert "things_marts.counts was built from table no.such" in found
    assert "things 2021-04 was finished from loads" in found


def test_emptied_table_is_a_problem(ready: LedgerState, postgres: Connection) -> None:
    postgres.execute("TRUNCATE things_marts.counts")
    found = only(check_built_rows(ready), "problem")
    assert found.found == "things_marts.counts differs from its builds: 1 rows built, 0 found"
    assert "force=true" in found.next_step


@pytest.mark.parametrize(
    ("type_", "values", "partitions"),
    [
        ("date", ("2021-04-01", "2021-05-01"), ("2021-04", "2021-05")),
        ("date", ("2021-04-01", "2021-04-02"), ("2021-04-01", "2021-04-02")),
        ("text", ("2021-04", "2021-05"), ("2021-04", "2021-05")),
    ],
    ids=["months", "days", "texts"],
)
def test_partition_with_other_rows_than_its_build_is_a_problem(
    ready: LedgerState,
    postgres: Connection,
    root: Path,
    type_: str,
    values: tuple[str, str],
    partitions: tuple[str, str],
) -> None:
    header = "-- key: none\n-- sources: things_staging.things\n-- write disposition: {}\n"
    folder = root / "things_marts" / "parts"
    folder.mkdir()
    (folder / "table.sql").write_text(header.format("none") + "CREATE TABLE things_marts.parts (part text);\n")
    (folder / "query.sql").write_text(
        header.format("replace partition (part)") + "SELECT part FROM things_staging.things"
    )
    state = replace(ready, built={"things_marts.parts": sql_table("things_marts.parts", root)})
    assert outcome_of(check_built_rows, state) == "skipped"
    postgres.execute(f"CREATE TABLE things_marts.parts (part {type_})".encode())
    for value, partition in zip(values, partitions, strict=True):
        postgres.execute("INSERT INTO things_marts.parts VALUES (%s), (%s)", [value, value])
        ledger.write_build(postgres, "things_marts.parts", partition, "f", 2, None, {})
    ledger.write_build(postgres, "things_marts.parts", "2021-06-30", "f", 0, None, {})  # a build without rows
    ledger.write_build(postgres, "things_marts.parts", "2021-07-31", "", 5, None, {})  # an outdated build
    assert outcome_of(check_built_rows, state) == "ok"
    postgres.execute("DELETE FROM things_marts.parts WHERE part = %s", [values[1]])
    postgres.execute("INSERT INTO things_marts.parts VALUES (%s)", [values[0]])
    found = only(check_built_rows(state), "problem").found
    assert found.endswith(f": {partitions[0]}: 2 rows built, 3 found; {partitions[1]}: 2 rows built, 0 found")


def test_tables_of_all_pipelines_can_be_compared_with_their_builds(postgres: Connection) -> None:
    for pipeline in pipelines().values():
        apply_ddl(postgres, pipeline.contracts, pipeline.schemas)
    settings = WarehouseSettings.model_validate({"dsn": "dbname=x"})
    state = LedgerState(Warehouse(postgres, settings), [], built_tables())
    replaced = [table for table in state.built.values() if table.disposition.kind == "replace"]
    assert outcome_of(check_built_rows, state) == ("ok" if replaced else "skipped")


def test_sound_tables_have_no_finding(ready: LedgerState, root: Path) -> None:
    for check in (check_missing, check_drift, check_migrations, check_indexes):
        assert outcome_of(check, schema_of(ready, root)) == "ok", check


def test_new_warehouse_has_no_problem(postgres: Connection, root: Path) -> None:
    settings = WarehouseSettings.model_validate({"dsn": "dbname=x"})
    state = SchemaState(Warehouse(postgres, settings), [THINGS], ["things_marts"], root)
    for check in (check_missing, check_drift, check_migrations):
        assert outcome_of(check, state) == "skipped", check


def test_dropped_table_is_a_problem(ready: LedgerState, root: Path, postgres: Connection) -> None:
    postgres.execute("DROP TABLE things_staging.things CASCADE")
    assert (
        "things_staging.things, things_staging.things_ingested: created by a run, and dropped"
        in only(check_missing(schema_of(ready, root)), "problem").found
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE things_staging.things ADD COLUMN note text", "column note: expected no such column, found text"),
        (
            "ALTER TABLE things_staging.things DROP COLUMN seen_date CASCADE",
            "things_staging.things was changed outside of",
        ),
        ("ALTER TABLE things_marts.counts ALTER row_count DROP NOT NULL", "things_marts.counts was changed outside of"),
        ("COMMENT ON TABLE things_marts.counts IS 'x'", "things_marts.counts was changed outside of Tally"),
        ("CREATE OR REPLACE VIEW things_marts.newest AS SELECT 1::bigint AS row_count", "things_marts.newest was"),
        ("ALTER TABLE ledger.loads DROP CONSTRAINT loads_rows_read_ck", "ledger.loads was changed outside of Tally"),
    ],
)
def test_table_that_somebody_changed_is_a_problem(
    ready: LedgerState, root: Path, postgres: Connection, change: str, words: str
) -> None:
    postgres.execute(change.encode())
    found = only(check_drift(schema_of(ready, root)), "problem")
    assert words in found.found
    with postgres.transaction():
        for statement in found.next_step.split("migration with:\n")[-1].split("\nThen run")[0].split(";\n"):
            postgres.execute(statement.encode())  # the next step corrects the difference
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    assert outcome_of(check_drift, schema_of(ready, root)) == "ok"


def test_changed_file_is_a_pending_change(ready: LedgerState, root: Path, postgres: Connection) -> None:
    file = root / "things_marts" / "counts" / "table.sql"
    file.write_text(file.read_text().replace("'Counts'", "'Other'"))
    found = only(check_drift(schema_of(ready, root)), "warning")
    assert "1 table or view has pending changes: things_marts.counts" in found.found
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    assert outcome_of(check_drift, schema_of(ready, root)) == "ok"


def test_missing_right_to_compare_is_reported(
    ready: LedgerState, root: Path, postgres: Connection, database: str
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    owner = sql.Identifier(str(conninfo_to_dict(database)["user"]))
    postgres.execute(sql.SQL("REVOKE CREATE ON DATABASE {} FROM {}").format(name, owner))
    try:
        assert "DSN of the owner" in only(check_drift(schema_of(ready, root)), "skipped").next_step
        file = root / "things_marts" / "counts" / "table.sql"
        file.write_text(file.read_text().replace("'Counts'", "'Other'"))
        old, _ = check_drift(schema_of(ready, root))
        assert "things_marts.counts" in old.found
    finally:
        postgres.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, owner))


def test_migrations_are_compared(ready: LedgerState, root: Path, postgres: Connection) -> None:
    folder = root / "things_marts" / "migrations"
    folder.mkdir()
    text = '"""Change nothing."""\n\nrevision = "0001"\ndown_revision = None\n\n\ndef upgrade() -> None:\n    pass\n'
    (folder / "0001_nothing.py").write_text(text)
    assert "0001_nothing.py" in only(check_migrations(schema_of(ready, root)), "warning").found
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    assert outcome_of(check_migrations, schema_of(ready, root)) == "ok"
    (folder / "0001_nothing.py").write_text(text + "\n")
    assert "0001_nothing.py" in only(check_migrations(schema_of(ready, root)), "problem").found


def test_invalid_index_is_a_problem(ready: LedgerState, root: Path, postgres: Connection) -> None:
    postgres.execute("INSERT INTO things_marts.counts VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        postgres.execute("CREATE UNIQUE INDEX CONCURRENTLY half ON things_marts.counts (row_count)")
    found = only(check_indexes(schema_of(ready, root)), "problem")
    assert found.next_step == 'REINDEX INDEX "things_marts"."half";'
    postgres.execute("DELETE FROM things_marts.counts")
    postgres.execute(found.next_step.encode())
    assert outcome_of(check_indexes, schema_of(ready, root)) == "ok"


def test_view_of_a_row_type_that_gained_a_column_is_no_finding(
    ready: LedgerState, root: Path, postgres: Connection
) -> None:
    """Postgres writes the columns of the type into the definition of the view, also those that it had at first."""
    file = root / "things_marts" / "newest" / "table.sql"
    text = "SELECT r.row_count FROM jsonb_populate_record(NULL::things_marts.counts, '{}') AS r"
    file.write_text(file.read_text().replace("SELECT row_count FROM things_marts.counts", text))
    table = root / "things_marts" / "counts" / "table.sql"
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    table.write_text(table.read_text().replace("NOT NULL)", "NOT NULL, note text)"))
    found = only(check_drift(schema_of(ready, root)), "warning")
    assert "things_marts.counts" in found.found
    apply_ddl(postgres, [THINGS], ["things_marts"], root)
    assert outcome_of(check_drift, schema_of(ready, root)) == "ok"


def test_next_step_never_drops_a_table(ready: LedgerState, root: Path, postgres: Connection) -> None:
    postgres.execute("ALTER TABLE things_marts.counts SET (autovacuum_enabled = off)")
    assert "DROP" not in only(check_drift(schema_of(ready, root)), "problem").next_step
