"""The doctor's checks of Postgres: a server with bad settings and one with good settings, housekeeping, roles, TLS."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from doctor_findings import only, outcome_of
from packaged_postgres import tls_server
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from tls import authority

from deployments.local.child_process import service_account
from deployments.local.postgres_binaries import find_binaries
from deployments.local.postgres_server import Postgres
from tasks.engine.doctor.housekeeping import (
    check_cleaned_tables,
    check_dead_rows,
    check_long_transactions,
    check_prepared_transactions,
    check_replication_slots,
    check_transaction_ids,
    judged_age,
)
from tasks.engine.doctor.outcomes import examine
from tasks.engine.doctor.server_settings import (
    MANY_CHECKPOINTS,
    RULES,
    SETTING_CHECKS,
    Rule,
    check_checkpoints,
    check_checksums,
    check_session_defaults,
    check_setting,
)
from tasks.engine.doctor.warehouse_server import (
    GIB,
    SERVER_CHECKS,
    Warehouse,
    check_connections,
    check_disk,
    check_encoding,
    check_is_primary,
    check_role,
    check_tls,
    check_version,
    free_space,
)
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import connect

BAD = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "track_counts": "off",
    "zero_damaged_pages": "on",
    "ignore_checksum_failure": "on",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "checkpoint_timeout": "30s",
    "work_mem": "64kB",
    "maintenance_work_mem": "1MB",
    "max_parallel_workers_per_gather": "0",
    "jit_above_cost": "0",
}
OTHERS = {
    "max_prepared_transactions": "2",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "max_replication_slots": "2",
}


@contextmanager
def opened(dsn: str, patience: timedelta = timedelta(hours=1)) -> Iterator[Warehouse]:
    settings = WarehouseSettings(dsn=SecretStr(dsn), origin="WAREHOUSE_DSN")
    with connect(settings, "tally doctor", is_written=False) as connection:
        yield Warehouse(connection, settings, patience)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tally-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bad_server(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder / "bad", is_durable=False, settings=BAD | OTHERS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def good_server(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder / "good", settings=OTHERS)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_bad_setting_is_named_with_the_statement_that_corrects_it(bad_server: Postgres, rule: Rule) -> None:
    with opened(bad_server.dsn) as warehouse:
        found = only(check_setting(rule, warehouse), rule.outcome)
    assert found.found.startswith(f"{rule.name} = ")
    assert found.next_step.startswith(f"ALTER SYSTEM SET {rule.name} = '{rule.value}';")
    assert rule.reason in found.expected
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute(found.next_step.split("\n", maxsplit=1)[0].encode())  # Postgres accepts the statement


def test_every_rule_has_a_bad_value_here() -> None:
    assert {rule.name for rule in RULES} == BAD.keys()


def test_good_server_has_no_finding(good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        results = examine("Warehouse", (*SETTING_CHECKS, *SERVER_CHECKS), warehouse)
    assert [each for each in results if each.finding.outcome not in {"ok", "skipped"}] == []
    assert len(results) == len(SETTING_CHECKS) + len(SERVER_CHECKS)


def test_forced_checkpoints_are_reported(bad_server: Postgres, good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_checkpoints, warehouse) == "ok"
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        for _ in range(MANY_CHECKPOINTS):
            administrator.execute("CHECKPOINT")
    with opened(bad_server.dsn) as warehouse:
        assert "max_wal_size" in only(check_checkpoints(warehouse), "warning").next_step


def test_checksums_are_compared(good_server: Postgres, folder: Path) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_checksums, warehouse) == "ok"
    server = Postgres(folder / "plain", is_durable=False)
    server.start()
    server.stop()
    binaries = find_binaries(service_account())
    account = (server.data.stat().st_uid, server.data.stat().st_gid)
    subprocess.run(
        [binaries / "pg_checksums", "--disable", "--pgdata", server.data],
        check=True,
        capture_output=True,
        **({"user": account[0], "group": account[1]} if os.getuid() == 0 else {}),
    )
    server.start()
    try:
        with opened(server.dsn) as warehouse:
            assert "pg_checksums --enable" in only(check_checksums(warehouse), "warning").next_step
    finally:
        server.stop()


def test_version_is_compared(good_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_version, warehouse) == "ok"
        monkeypatch.setattr("tasks.engine.doctor.warehouse_server.OLDEST_VERSION", 99)
        assert "Postgres 99 or newer" in only(check_version(warehouse), "problem").expected


def test_encoding_is_compared(bad_server: Postgres, good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_encoding, warehouse) == "ok"
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute("CREATE DATABASE latin OWNER tally ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with opened(make_conninfo(bad_server.dsn, dbname="latin")) as warehouse:
        found = only(check_encoding(warehouse), "problem")
    assert "encoded in LATIN1" in found.found
    assert "CREATE DATABASE \"latin_utf8\" ENCODING 'UTF8' TEMPLATE template0;" in found.next_step


def test_database_without_writes_is_reported(database: str) -> None:
    with opened(database) as warehouse:
        assert outcome_of(check_is_primary, warehouse) == "ok"
        name = sql.Identifier(warehouse.connection.info.dbname)
        warehouse.connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        found = only(check_is_primary(warehouse), "warning")
    assert "somebody may have stopped writes" in found.expected
    with psycopg.connect(database, autocommit=True) as session:  # a session whose writes the setting refuses
        for statement in found.next_step.splitlines()[1:]:
            session.execute(statement.encode())
    with opened(database) as warehouse:
        assert outcome_of(check_is_primary, warehouse) == "ok"


def test_standby_is_a_problem(folder: Path) -> None:
    server = Postgres(folder / "standby", is_durable=False, settings={"wal_level": "replica"})
    server.start()
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    try:
        with opened(server.dsn) as warehouse:
            assert "the server is a standby" in only(check_is_primary(warehouse), "problem").found
    finally:
        server.stop()


@pytest.mark.packaged_postgres
def test_tls_is_judged_by_the_host_and_by_what_the_client_verifies(bad_server: Postgres, folder: Path) -> None:
    files = authority(folder / "tls")
    with tls_server(folder / "packaged", files) as server:
        verified = make_conninfo(server.dsn, sslmode="verify-full", sslrootcert=str(files.bundle))
        with opened(verified) as warehouse:
            assert outcome_of(check_tls, warehouse) == "skipped"  # on this machine
        for dsn, outcome in ((verified, "ok"), (make_conninfo(server.dsn, sslmode="require"), "warning")):
            with opened(dsn) as warehouse, pytest.MonkeyPatch.context() as patch:
                patch.setattr(Warehouse, "is_local", False)
                assert outcome_of(check_tls, warehouse) == outcome
    with opened(bad_server.dsn) as warehouse, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "is_local", False)
        found = only(check_tls(warehouse), "problem")
    assert "can be read on the way" in found.found
    assert "sslmode=verify-full" in found.next_step


def test_rights_over_the_server_are_reported(bad_server: Postgres, good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_role, warehouse) == "ok"
    with opened(good_server.administrator_dsn) as warehouse:
        assert "postgres, a superuser" in only(check_role(warehouse), "warning").found
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute("ALTER ROLE tally CREATEROLE BYPASSRLS")
        with opened(bad_server.dsn) as warehouse:
            found = only(check_role(warehouse), "warning")
        assert found.next_step == 'ALTER ROLE "tally" NOCREATEROLE NOBYPASSRLS;'
        administrator.execute(found.next_step.encode())
    with opened(bad_server.dsn) as warehouse:
        assert outcome_of(check_role, warehouse) == "ok"


def test_too_few_connections_are_reported(bad_server: Postgres, good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_connections, warehouse) == "ok"
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute("ALTER ROLE tally CONNECTION LIMIT 3")
        administrator.execute("ALTER DATABASE tally CONNECTION LIMIT 3")
        with opened(bad_server.dsn) as warehouse:
            of_role, of_database, _ = check_connections(warehouse)
        assert "the role may have 3 connections" in of_role.found
        assert of_database.next_step.endswith('\nALTER DATABASE "tally" CONNECTION LIMIT -1;')
        administrator.execute("ALTER ROLE tally CONNECTION LIMIT -1")
        administrator.execute(of_database.next_step.partition("\n")[2].encode())
        with opened(bad_server.dsn) as warehouse, pytest.MonkeyPatch.context() as patch:
            patch.setattr("tasks.engine.doctor.warehouse_server.MOST_CONNECTIONS_USED", 0.001)
            assert "a full server refuses runs" in only(check_connections(warehouse), "warning").expected


def test_free_space_is_shown_where_it_can_be_seen(good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert "df -h" in only(check_disk(warehouse), "skipped").next_step
    with opened(good_server.administrator_dsn) as warehouse:
        (found,) = check_disk(warehouse)
        assert f"are free on the disk of {good_server.data}" in found.found


@pytest.mark.parametrize(
    ("total", "free", "outcome"),
    [
        (100 * GIB, 100 * GIB, "ok"),
        (100 * GIB, 10 * GIB, "ok"),
        (100 * GIB, 10 * GIB - 1, "warning"),
        (100 * GIB, 2 * GIB, "warning"),
        (100 * GIB, 2 * GIB - 1, "problem"),
        (2 * GIB, GIB, "ok"),
        (2 * GIB, GIB - 1, "problem"),
        (GIB, 0, "problem"),
    ],
)
def test_free_space_has_limits(total: int, free: int, outcome: str) -> None:
    assert free_space("the database takes 1 GiB", "/data", total, free).outcome == outcome


def test_dead_rows_are_reported_until_a_vacuum(database: str) -> None:
    with opened(database) as warehouse:
        assert outcome_of(lambda each: check_dead_rows(each, ["marts"]), warehouse) == "ok"
        execute = warehouse.connection.execute
        execute("CREATE SCHEMA marts")
        execute('CREATE TABLE marts."Big" WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 12000) AS id')
        execute('UPDATE marts."Big" SET id = id + 1')
        execute("SELECT pg_stat_force_next_flush()")
        execute("SELECT 1")
        found = only(check_dead_rows(warehouse, ["marts"]), "warning")
        assert "marts.Big has 12,000 dead rows beside 12,000 live rows; no VACUUM has run" in found.found
        assert "marts.Big" in only(check_cleaned_tables(warehouse, ["marts"]), "problem").found
        assert outcome_of(lambda each: check_dead_rows(each, ["other"]), warehouse) == "ok"
        assert outcome_of(lambda each: check_cleaned_tables(each, ["other"]), warehouse) == "ok"
        execute(found.next_step.encode())
        execute(only(check_cleaned_tables(warehouse, ["marts"]), "problem").next_step.encode())
        assert outcome_of(lambda each: check_dead_rows(each, ["marts"]), warehouse) == "ok"
        assert outcome_of(lambda each: check_cleaned_tables(each, ["marts"]), warehouse) == "ok"


def test_long_transaction_is_reported_with_its_session(database: str) -> None:
    with opened(database, timedelta(0)) as warehouse:
        with psycopg.connect(database, application_name="a person's query") as person:
            pid = person.info.backend_pid
            person.execute("SELECT txid_current()")
            found = only(check_long_transactions(warehouse), "warning")
        assert f"session {pid} of" in found.found
        assert "(a person's query)" in found.found
        assert f"pg_terminate_backend({pid})" in found.next_step
        assert outcome_of(check_long_transactions, warehouse) == "ok"
    with opened(database) as warehouse, psycopg.connect(database) as person:
        person.execute("SELECT txid_current()")
        assert outcome_of(check_long_transactions, warehouse) == "ok"  # it is not an hour old


def test_hidden_sessions_of_other_roles_are_reported(good_server: Postgres) -> None:
    administrator = make_conninfo(good_server.administrator_dsn, dbname="tally")
    with psycopg.connect(administrator), opened(good_server.dsn, timedelta(0)) as warehouse:
        found = only(check_long_transactions(warehouse), "skipped")
        assert "GRANT pg_read_all_stats" in found.next_step


def test_prepared_transaction_is_a_problem(good_server: Postgres) -> None:
    with opened(good_server.dsn) as warehouse:
        assert outcome_of(check_prepared_transactions, warehouse) == "ok"
        with psycopg.connect(good_server.dsn, autocommit=True) as other:
            other.execute("BEGIN")
            other.execute("SELECT txid_current()")
            other.execute("PREPARE TRANSACTION 'it''s open'")
        found = only(check_prepared_transactions(warehouse), "problem")
        warehouse.connection.execute(found.next_step.split("or ")[1].encode())
        assert outcome_of(check_prepared_transactions, warehouse) == "ok"


def test_slot_without_a_reader_is_a_problem(good_server: Postgres) -> None:
    administrator = make_conninfo(good_server.administrator_dsn, dbname="tally")
    with opened(administrator) as warehouse:
        assert outcome_of(check_replication_slots, warehouse) == "ok"
        warehouse.connection.execute("SELECT pg_create_physical_replication_slot('left_over', true)")
        found = only(check_replication_slots(warehouse), "problem")
        assert "left_over has no reader" in found.found
        warehouse.connection.execute(found.next_step.split("or: ")[1].encode())
        assert outcome_of(check_replication_slots, warehouse) == "ok"


def test_old_transaction_ids_are_a_problem(database: str) -> None:
    with opened(database) as warehouse:
        assert outcome_of(check_transaction_ids, warehouse) == "ok"
    assert judged_age(999_999_999).outcome == "ok"
    assert only([judged_age(1_000_000_000)], "problem").next_step.endswith("VACUUM (FREEZE);")


def test_setting_of_the_role_that_disturbs_runs_is_reported(bad_server: Postgres) -> None:
    with opened(bad_server.dsn) as warehouse:
        assert outcome_of(check_session_defaults, warehouse) == "ok"
    with psycopg.connect(bad_server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute("ALTER ROLE tally SET temp_file_limit = '1MB'")
        with opened(bad_server.dsn) as warehouse:
            assert "temp_file_limit=1MB for tally" in only(check_session_defaults(warehouse), "warning").found
        administrator.execute("ALTER ROLE tally RESET temp_file_limit")
