"""The sessions and clients that the steps of a run share: no step sees the state that an earlier step left."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psycopg
import pytest
from pgbouncer_pooler import pooler
from psycopg.conninfo import make_conninfo
from sample_dataset import THINGS, no_block

from tasks import connections, transform
from tasks.connections import forget_connections, open_lake, open_warehouse, shared_connections
from tasks.contracts import Contract
from tasks.engine.lake.s3_clients import S3Clients
from tasks.engine.settings import WarehouseSettings, read_warehouse
from tasks.engine.warehouse import sessions as warehouse_sessions
from tasks.engine.warehouse.session_pool import SessionPool
from tasks.engine.warehouse.sessions import OWNER_SETTING, Connection, connect
from tasks.policy import step
from tasks.run_summary import Ended, with_summary

NAME = "pool test"
LEFT = {
    "a setting": "SET statement_timeout = '1s'",
    "a search path": "SET search_path = public",
    "an encoding": "SET client_encoding = 'LATIN1'",
    "a temporary table": "CREATE TEMP TABLE pg_class_of_a_step AS SELECT 1 AS x",
    "a lock": "SELECT pg_advisory_lock(42)",
    "a prepared statement": "PREPARE of_a_step AS SELECT 1",
    "a channel": "LISTEN a_channel",
    "an owner": f"SET {OWNER_SETTING} = '1'",
}
TRACES = """
SELECT current_setting('statement_timeout'), current_setting('search_path'), current_setting('client_encoding'),
    current_setting('tally.session') = '1', (SELECT count(*) FROM pg_class WHERE relname = 'pg_class_of_a_step'),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())
"""


@pytest.fixture
def settings(database: str) -> WarehouseSettings:
    del database
    return read_warehouse(os.environ, no_block)


@pytest.fixture
def pool() -> Iterator[SessionPool]:
    opened = SessionPool()
    yield opened
    opened.close()


def backend(connection: Connection) -> int:
    return connection.info.backend_pid


def use(pool: SessionPool, settings: WarehouseSettings, statement: str = "SELECT 1") -> int:
    with pool.connect(settings, NAME) as connection:
        connection.execute(statement)
        return backend(connection)


def sessions(database: str, name: str = NAME) -> list[tuple[int, str]]:
    with psycopg.connect(database) as watching:
        return watching.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
            " ORDER BY pid",
            [name],
        ).fetchall()


@pytest.mark.parametrize("left", LEFT)
def test_step_finds_no_trace_of_an_earlier_step(pool: SessionPool, settings: WarehouseSettings, left: str) -> None:
    first = use(pool, settings, LEFT[left])
    with pool.connect(settings, NAME) as connection:
        assert backend(connection) == first
        traces = connection.execute(TRACES).fetchone()
        assert traces == ("0", "pg_catalog, pg_temp", "UTF8", False, 0, 0, 0, 0)
        assert connection.info.encoding == "utf-8"


def test_lock_that_a_step_left_ends_with_the_step(pool: SessionPool, settings: WarehouseSettings) -> None:
    use(pool, settings, LEFT["a lock"])
    with connect(settings, "other") as other:
        assert other.execute("SELECT pg_try_advisory_lock(42)").fetchone() == (True,)


def test_idle_session_is_in_no_transaction_and_the_end_of_the_pool_closes_it(
    pool: SessionPool, settings: WarehouseSettings, database: str
) -> None:
    pid = use(pool, settings)
    assert sessions(database) == [(pid, "idle")]
    pool.close()
    assert sessions(database) == []
    use(pool, settings)
    assert sessions(database) == []


def test_session_with_an_open_transaction_or_a_failed_step_is_not_used_again(
    pool: SessionPool, settings: WarehouseSettings, database: str
) -> None:
    opened = [use(pool, settings, "BEGIN")]
    with suppress(ZeroDivisionError), pool.connect(settings, NAME) as connection:
        opened.append(backend(connection))
        raise ZeroDivisionError
    with suppress(psycopg.Error), pool.connect(settings, NAME) as connection:
        opened.append(backend(connection))
        connection.execute("SELECT 1/0")
    with pool.connect(settings, NAME) as connection:
        opened.append(backend(connection))
        connection.autocommit = False
    opened.append(use(pool, settings))
    assert len(set(opened)) == len(opened)
    assert [pid for pid, _ in sessions(database)] == opened[-1:]


def test_session_that_the_server_ended_is_replaced(
    pool: SessionPool, settings: WarehouseSettings, database: str
) -> None:
    first = use(pool, settings)
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [first])
    assert use(pool, settings) != first
    with pool.connect(settings, NAME) as connection, psycopg.connect(database) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend(connection)])
    assert len({first, backend(connection), use(pool, settings)}) == 3


def test_two_users_have_two_sessions_and_another_login_has_its_own(
    pool: SessionPool, settings: WarehouseSettings, database: str
) -> None:
    with pool.connect(settings, NAME) as one, pool.connect(settings, NAME) as two:
        both = {backend(one), backend(two)}
    assert len(both) == 2
    other = WarehouseSettings.model_validate({"dsn": make_conninfo(database, options="-c work_mem=1MB")})
    assert use(pool, other) not in both
    assert use(pool, settings) in both
    pool.close_idle()
    assert sessions(database) == []
    assert use(pool, settings) not in both


def test_forked_process_opens_its_own_session_and_leaves_the_parents(
    pool: SessionPool, settings: WarehouseSettings
) -> None:
    first = use(pool, settings)
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        found = use(pool, settings)
        pool.close()
        os.write(sender, f"{found}".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert int(os.read(receiver, 20)) != first
    os.close(receiver)
    os.close(sender)
    assert use(pool, settings) == first


@pytest.mark.pooler
def test_session_of_a_pooler_does_not_stay_open(
    pool: SessionPool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse_sessions, "PROBE_SECONDS", 0.5)  # the only connection is in use during each probe
    with pooler(database, "session", "max_db_connections = 1") as dsn:
        behind = WarehouseSettings.model_validate({"dsn": dsn})
        use(pool, behind, "SET statement_timeout = '1s'")
        with connect(behind, "other") as other:
            other.execute("SELECT 1")
        use(pool, behind)


@pytest.mark.usefixtures("prefect_server", "bucket")
def test_steps_of_a_run_share_a_session_and_a_client_until_the_run_ends(database: str) -> None:
    from tasks.flow_runs import flow

    seen: list[tuple[int, int]] = []

    @step(task_run_name="look")
    def look_around(is_bad: bool = False) -> None:
        with open_warehouse() as connection, open_lake() as lake:
            list(lake.list(""))
            seen.append((backend(connection), id(lake.client)))
            if is_bad:
                raise ValueError("bad")

    @flow(name="looking", flow_run_name="looking")
    @with_summary
    def looking() -> Ended[None]:
        look_around()
        look_around()
        with suppress(ValueError):
            look_around(is_bad=True)
        look_around()
        assert len(sessions(database, "tally looking")) == 1
        return Ended(None, "")

    looking()
    assert seen[0] == seen[1] == seen[2]
    assert seen[3][0] != seen[0][0]
    assert sessions(database, "tally looking") == []


def test_block_is_read_once_and_again_after_an_error(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    reads: list[str] = []

    def block() -> dict[str, str]:
        reads.append("warehouse")
        return {"dsn": database}

    monkeypatch.delenv("WAREHOUSE_DSN")
    monkeypatch.setattr(connections, "warehouse_block", block)
    with shared_connections():
        for _ in range(3):
            with open_warehouse():
                pass
        assert len(reads) == 1
        forget_connections()
        with open_warehouse():
            pass
        assert len(reads) == 2
    with open_warehouse():
        pass
    assert len(reads) == 3


def test_tables_are_created_once_in_a_run_and_again_after_an_error_or_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[tuple[str, ...]] = []

    def create(_: Sequence[Contract], schemas: Sequence[str]) -> list[str]:
        created.append(tuple(schemas))
        return list(schemas)

    def version_of(_: object) -> int | None:
        return version

    monkeypatch.setattr(transform, "build_missing_tables", create)
    monkeypatch.setattr(transform, "version_of", version_of)
    version: int | None = 1
    with shared_connections():
        assert [transform.build_schemas([THINGS], ["a"]) for _ in range(3)] == [["a"], [], []]
        assert [transform.build_schemas([THINGS], ["a", "b"]) for _ in range(2)] == [["a", "b"], []]
        assert [transform.build_schemas([], ["a"]) for _ in range(2)] == [["a"], []]
        forget_connections()
        assert [transform.build_schemas([THINGS], ["a"]) for _ in range(2)] == [["a"], []]
        version = 2
        assert [transform.build_schemas([THINGS], ["a"]) for _ in range(2)] == [["a"], []]
        version = None  # a file changed a moment ago
        assert [transform.build_schemas([THINGS], ["a"]) for _ in range(2)] == [["a"], ["a"]]
    version = 2
    assert [transform.build_schemas([THINGS], ["a"]) for _ in range(2)] == [["a"], ["a"]]


def test_buckets_of_a_service_share_a_client_and_other_logins_have_their_own(bucket: str) -> None:
    del bucket
    settings, clients = connections.lake_settings(), S3Clients()
    same = clients.client_for(settings.model_copy(update={"bucket": "another"}))
    assert clients.client_for(settings) is same
    assert clients.client_for(settings.model_copy(update={"access_key_id": "another"})) is not same
    clients.clear()
    assert clients.client_for(settings) is not same
