"""PgBouncer between Tally and Postgres: Tally refuses a pooler that shares sessions, and accepts session mode."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from pgbouncer_pooler import pooler
from sample_dataset import HEADER, connection, load, names, put, ready_connection

from tasks.engine.errors import PartitionBusyError, PooledSessionError, is_transient
from tasks.engine.warehouse import locks, sessions
from tasks.engine.warehouse.locks import lock, snapshot_transaction

pytestmark = [pytest.mark.pooler, pytest.mark.usefixtures("bucket")]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("options", ["", "server_round_robin = 1"])
@pytest.mark.parametrize("idle", [0, 1, 3])
def test_pooler_that_shares_sessions_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch, mode: str, options: str, idle: int
) -> None:
    with pooler(database, mode, options) as dsn, ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(idle)]
        with ThreadPoolExecutor(3) as pool:  # at the same time, so that the pooler opens a session for each client
            list(pool.map(lambda client: client.execute("SELECT pg_sleep(0.2)"), clients))
        monkeypatch.setenv("WAREHOUSE_DSN", dsn)
        with pytest.raises(PooledSessionError, match="pool_mode = session") as caught, connection():
            pass
    assert not is_transient(caught.value)


def test_pooler_with_a_session_for_each_client_is_accepted(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "100ms")
    with pooler(database, "session") as dsn:
        monkeypatch.setenv("WAREHOUSE_DSN", dsn)
        with ready_connection() as own, connection("other") as other:
            assert load(own, put(HEADER + "Perú,\n".encode())).status == "loaded"
            assert names(own) == ["Perú"]
            with snapshot_transaction(own, "x"), pytest.raises(PartitionBusyError), snapshot_transaction(other, "x"):
                pass
            with snapshot_transaction(other, "x"):
                pass


def test_full_pooler_in_session_mode_is_not_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PROBE_SECONDS", 0.3)
    with pooler(database, "session", "max_db_connections = 1") as dsn:
        monkeypatch.setenv("WAREHOUSE_DSN", dsn)
        with connection() as own, own.transaction():
            lock(own, "x")


def test_lock_in_a_session_that_another_client_got_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe may miss a shared session while other clients are active. So each lock checks the session again."""
    monkeypatch.setattr(sessions, "_refuse_shared_backend", lambda *_: None)
    with pooler(database, "transaction") as dsn:
        monkeypatch.setenv("WAREHOUSE_DSN", dsn)
        with connection() as first, connection() as second:
            with second.transaction():
                lock(second, "x")
            with pytest.raises(PooledSessionError), first.transaction():
                lock(first, "x")
            with pytest.raises(PooledSessionError), snapshot_transaction(first, "x"):
                pass
            with psycopg.connect(database) as direct:
                held = direct.execute(
                    "SELECT count(*) FROM pg_locks AS l INNER JOIN pg_database AS d ON l.database = d.oid"
                    " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
                )
                assert held.fetchone() == (0,)
