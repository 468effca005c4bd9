"""Connections, locks and staging tables, and the errors that a real Postgres raises."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sample_dataset import connection, ready_connection
from sample_visits import VISITS

from deployments.local import embedded
from tasks import connections
from tasks.engine.errors import (
    PartitionBusyError,
    SettingsError,
    TallyError,
    WarehouseError,
    WarehouseUnavailableError,
    errors_at,
    is_transient,
)
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse import locks
from tasks.engine.warehouse.locks import locked
from tasks.engine.warehouse.tables import (
    Connection,
    connect,
    lock,
    staging_ddl,
)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    del database  # it sets the environment
    with ready_connection() as opened:
        yield opened


def refused(dsn: str) -> TallyError:
    with (
        pytest.raises(TallyError) as caught,
        connect(WarehouseSettings.model_validate({"dsn": dsn}), "test"),
    ):
        pass
    assert "warehouse connection" in str(caught.value)
    return caught.value


def test_session_settings_are_independent_of_the_environment(database: str) -> None:
    dsn = make_conninfo(database, options="-c timezone=Asia/Tokyo -c datestyle=German")
    with connect(WarehouseSettings.model_validate({"dsn": dsn}), "events 2021-04") as opened:
        assert opened.autocommit
        shown = [
            opened.execute(f"SHOW {name}").fetchone()
            for name in ("timezone", "datestyle", "application_name", "idle_in_transaction_session_timeout")
        ]
    assert shown == [("UTC",), ("ISO, MDY",), ("events 2021-04",), ("15min",)]
    assert opened.closed


def test_wrong_password_is_permanent_and_not_shown(database: str) -> None:
    error = refused(make_conninfo(database, password="hunter2"))
    assert isinstance(error, WarehouseError)
    assert "28P01" in str(error)
    assert "hunter2" not in str(error)


def test_unknown_database_and_role_are_permanent(database: str) -> None:
    assert isinstance(refused(make_conninfo(database, dbname="nowhere")), WarehouseError)
    assert isinstance(refused(make_conninfo(database, user="nobody_at_all")), WarehouseError)


def test_server_that_does_not_answer_is_transient(database: str) -> None:
    assert isinstance(refused(make_conninfo(database, host="127.0.0.1", port=9)), WarehouseUnavailableError)


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SELECT * FROM nowhere", "42P01"),
        ("SELEC 1", "42601"),
        ("SELECT 1 / 0", "22012"),
        ("SELECT 'x'::int", "22P02"),
        ("CREATE ROLE somebody SUPERUSER", "42501"),
        ("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)", "57014"),
        ("INSERT INTO ledger.loads (dataset) VALUES (NULL)", "23502"),
    ],
)
def test_refused_statement_is_permanent_and_names_its_place(postgres: Connection, statement: str, state: str) -> None:
    with pytest.raises(WarehouseError, match=rf"Postgres \[{state}\].*\(marts.x\)") as caught, errors_at("marts.x"):
        postgres.execute(statement.encode())
    assert not is_transient(caught.value)


def test_lock_timeout_is_transient(postgres: Connection) -> None:
    with connection() as other, other.transaction():
        other.execute("LOCK TABLE things_staging.things")
        postgres.execute("SET lock_timeout = '100ms'")
        with pytest.raises(WarehouseUnavailableError, match="55P03"), errors_at("here"):
            postgres.execute("SELECT * FROM things_staging.things")


def test_connection_that_an_administrator_ends_is_transient(database: str, postgres: Connection) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [postgres.info.backend_pid])
    with pytest.raises(WarehouseUnavailableError, match=r"57P01|connection lost"), errors_at("here"):
        postgres.execute("SELECT 1")


def test_deadlocks_and_serialization_failures_are_transient(database: str, postgres: Connection) -> None:
    postgres.execute("CREATE TABLE public.two (id int PRIMARY KEY, value int)")
    postgres.execute("INSERT INTO public.two VALUES (1, 0), (2, 0)")
    gate = threading.Barrier(2)

    def update(order: tuple[int, int]) -> TallyError | None:
        with psycopg.connect(database) as own:
            own.execute("UPDATE public.two SET value = value + 1 WHERE id = %s", [order[0]])
            gate.wait(10)
            try:
                with errors_at("two"):
                    own.execute("UPDATE public.two SET value = value + 1 WHERE id = %s", [order[1]])
            except TallyError as error:
                return error
            return None

    with ThreadPoolExecutor(2) as pool:
        errors = [error for error in pool.map(update, [(1, 2), (2, 1)]) if error]
    assert [type(error) for error in errors] == [WarehouseUnavailableError]
    assert "40P01" in str(errors[0])


def test_lock_holds_until_the_transaction_ends(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "100ms")
    with connection("the other run") as other:
        holder = other.info.backend_pid
        with other.transaction():
            lock(other, "events 2021-04")
            lock(other, "events 2021-04")
            with pytest.raises(PartitionBusyError) as caught, postgres.transaction():
                lock(postgres, "events 2021-04")
            with postgres.transaction():
                lock(postgres, "events 2021-05")
        with postgres.transaction():
            lock(postgres, "events 2021-04")
    assert is_transient(caught.value)
    assert f"process {holder} (the other run), connected since 20" in str(caught.value)


def test_timeout_of_the_lock_does_not_apply_to_later_waits_of_the_transaction(postgres: Connection) -> None:
    with postgres.transaction():
        lock(postgres, "x")
        assert postgres.execute("SHOW lock_timeout").fetchone() == ("0",)
    assert postgres.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_second_run_continues_after_the_first_has_ended(postgres: Connection) -> None:
    held, order = threading.Event(), list[str]()

    def first() -> None:
        with connection() as own, locked(own, "x"):
            held.set()
            time.sleep(0.3)
            order.append("first")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        assert held.wait(10)
        with locked(postgres, "x"):
            order.append("second")
        done.result()
    assert order == ["first", "second"]


def test_lock_is_released_after_an_error(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "100ms")
    with pytest.raises(ZeroDivisionError), locked(postgres, "x"):
        raise ZeroDivisionError
    with connection() as other, locked(other, "x"):
        pass


def test_holder_of_another_role_is_named_with_its_visible_properties(
    services: embedded.Services, database: str, postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "100ms")
    own = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    dsn = make_conninfo(services.administration["WAREHOUSE_DSN"], dbname=own)
    with connect(WarehouseSettings.model_validate({"dsn": dsn}), "an administrator") as other, other.transaction():
        lock(other, "x")
        with pytest.raises(PartitionBusyError, match=f"process {other.info.backend_pid}"), postgres.transaction():
            lock(postgres, "x")


def test_holder_of_the_same_lock_in_another_database_is_not_blamed(
    services: embedded.Services, postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "100ms")
    elsewhere = services.environment["WAREHOUSE_DSN"]
    with connect(WarehouseSettings.model_validate({"dsn": elsewhere}), "elsewhere") as one, one.transaction():
        lock(one, "x")
        with connection("here") as two, two.transaction():
            lock(two, "x")
            for _ in range(3):  # either holder may be found first, so one attempt proves little
                with pytest.raises(PartitionBusyError, match=r"\(here\)"), postgres.transaction():
                    lock(postgres, "x")


def columns_of(postgres: Connection, table: str) -> list[tuple[str, str, bool]]:
    rows = postgres.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        [table],
    )
    return [(str(name), str(type_), bool(required)) for name, type_, required in rows]


def test_staging_table_matches_its_contract(postgres: Connection) -> None:
    for _ in range(2):
        postgres.execute(staging_ddl(VISITS))
    assert columns_of(postgres, VISITS.table) == [
        ("month", "date", True),
        ("load_id", "bigint", True),
        *((column.name, column.type.postgres.replace("timestamptz", "timestamp with time zone"), not column.nullable)
          for column in VISITS.columns),
        ("line_number", "bigint", False),
    ]  # fmt: skip
    comments = postgres.execute(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 2"
        " ORDER BY attnum",
        [VISITS.table],
    )
    *described, line = [text for (text,) in comments]
    assert described == [column.description for column in VISITS.columns]
    assert line.startswith("Line of the object")
    assert postgres.execute("SELECT obj_description(%s::regclass)", [VISITS.table]).fetchone() == (VISITS.description,)


@pytest.mark.usefixtures("prefect_server")
def test_error_of_missing_settings_names_the_variable_and_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAREHOUSE_DSN")
    monkeypatch.delenv("LAKE_BUCKET", raising=False)
    with pytest.raises(SettingsError, match="variable WAREHOUSE_DSN nor Prefect block SqlAlchemyConnector `warehouse`"):
        connections.open_warehouse()
    with pytest.raises(SettingsError, match="variable LAKE_BUCKET nor Prefect block S3Bucket `lake`"):
        connections.open_lake()
