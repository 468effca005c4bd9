"""Postgres loses connections, hangs, crashes or has a full disk: a typed error, and a correct retry."""

import os
import random
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from faults.aftermath import left_behind, ranked_state
from faults.conftest import Replacement
from faults.tcp_proxy import CutAfter, Fault, LoseAnswer, StallAfter, TcpProxy, tcp_proxy
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sample_dataset import HEADER, THINGS, connection, load, names, put, ready_connection, state

from deployments.local.child_process import service_account
from deployments.local.embedded import Services
from tasks.engine.errors import WarehouseError, WarehouseUnavailableError, is_transient
from tasks.engine.formats import csv_reader
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse import sessions
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

SURPLUS = 300
"""Bytes that a measured load may send more than a real load, for its savepoint and rollback."""

BIG_NAMES = HEADER + b"".join(b"%05d %s,\n" % (number, b"x" * 10_000) for number in range(2_000))
"""20 MB: more than the system buffers for a server that does not read."""


@contextmanager
def through_proxy(
    monkeypatch: pytest.MonkeyPatch, fault: Fault | None = None, *, receive_buffer: int = 0
) -> Iterator[TcpProxy]:
    """Put a proxy before the warehouse of the environment during the block."""
    dsn = os.environ["WAREHOUSE_DSN"]
    parts = conninfo_to_dict(dsn)
    proxied = tcp_proxy(str(parts["host"]), int(str(parts["port"])), fault or Fault(), receive_buffer)
    with proxied as proxy, monkeypatch.context() as patch:
        patch.setenv("WAREHOUSE_DSN", make_conninfo(dsn, host="127.0.0.1", port=proxy.port))
        yield proxy


@pytest.fixture
def traffic(postgres: Connection, replacement: Replacement, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Number of bytes that a load sends and receives."""
    before = ranked_state(postgres)
    with through_proxy(monkeypatch) as proxy, connection("driver") as proxied:
        with proxied.transaction(force_rollback=True):
            load(proxied, replacement.source)
        sent = dict(proxy.links[0].sent)
    assert ranked_state(postgres) == before
    return sent


@pytest.mark.parametrize("origin", ["client", "server"])
def test_connection_cut_at_random_bytes_is_a_transient_error_and_a_retry_is_right(
    postgres: Connection,
    replacement: Replacement,
    traffic: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
) -> None:
    drawn = random.Random(origin)  # noqa: S311
    with replacement.watching() as seen:
        for turn in range(12):
            fault = CutAfter(origin, [drawn.randrange(1, traffic[origin] - SURPLUS)], is_reset=bool(turn % 2))
            with (
                through_proxy(monkeypatch, fault),
                pytest.raises(WarehouseUnavailableError),
                connection("driver") as proxied,
            ):
                load(proxied, replacement.source)
            assert left_behind(postgres) == {}
            if ranked_state(postgres) == replacement.after:  # the cut was between the commit and its answer
                break
            assert ranked_state(postgres) == replacement.before
        load(postgres, replacement.source)
    assert ranked_state(postgres) == replacement.after
    assert seen == replacement.views


def test_commit_whose_response_was_lost_is_found_by_the_retry(
    postgres: Connection, replacement: Replacement, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = LoseAnswer(b"COMMIT")
    with replacement.watching() as seen:
        with (
            through_proxy(monkeypatch, fault),
            pytest.raises(WarehouseUnavailableError, match="connection lost"),
            connection("driver") as proxied,
        ):
            load(proxied, replacement.source)
        assert b"COMMIT" in fault.lost
        assert left_behind(postgres) == {}
        assert load(postgres, replacement.source).status == "unchanged"
    assert ranked_state(postgres) == replacement.after
    assert seen == replacement.views


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such timeout")
def test_server_that_takes_no_more_bytes_is_a_transient_error(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "UNSENT_TIMEOUT", 1500)
    source = put(BIG_NAMES)
    fault = StallAfter("client", 200_000)
    with (
        through_proxy(monkeypatch, fault, receive_buffer=1 << 16),
        pytest.raises(WarehouseUnavailableError, match=r"(?s)connection lost.*things"),
        connection("driver") as proxied,
    ):
        load(proxied, source)
    assert fault.stalled == {1}
    assert left_behind(postgres) == {}
    assert state(postgres) == {"things": [], "loads": [], "rejected": []}
    assert load(postgres, source).rows_loaded == 2_000


def test_server_that_does_not_greet_is_a_transient_error(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del database
    monkeypatch.setattr(sessions, "CONNECT_TIMEOUT", 2)  # the minimum of libpq
    with (
        through_proxy(monkeypatch, StallAfter("client", 0)),
        pytest.raises(WarehouseUnavailableError, match="timeout expired"),
        connection("driver"),
    ):
        pass


def test_crash_of_the_server_in_mid_copy_is_a_transient_error_and_a_retry_is_right(
    services: Services, postgres: Connection, replacement: Replacement, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = services.postgres
    if server is None:
        pytest.skip("WAREHOUSE_DSN names a server that is not ours to crash")
    dsn = server.dsn

    def crash(_: int, rows: int) -> None:
        if rows > 200:
            server.stop("immediate")

    with replacement.watching() as seen:
        with pytest.raises(WarehouseUnavailableError, match="things"):
            load(postgres, replacement.source, on_progress=crash)
        with pytest.raises(WarehouseUnavailableError, match=r"\[unreachable\]"), connection("driver"):
            pass
        server.start()
        assert server.dsn == dsn  # otherwise the environment names another database
        with connection() as fresh:
            assert left_behind(fresh) == {}
            assert ranked_state(fresh) == replacement.before
            assert load(fresh, replacement.source).status == "replaced"
            assert ranked_state(fresh) == replacement.after
    assert seen == replacement.views


@pytest.fixture
def small_tablespace(services: Services) -> Iterator[str]:
    """A tablespace of 4 MB; only root can mount its file system."""
    server, account = services.postgres, service_account()
    if server is None:
        pytest.skip("WAREHOUSE_DSN names a server that may run elsewhere, where nothing can be mounted")
    folder = Path(tempfile.mkdtemp(prefix="tally-test-"))
    folder.chmod(0o711)
    options = "size=4m,mode=0700" + (f",uid={account.uid},gid={account.gid}" if account else "")
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError) as error:
        folder.rmdir()
        reason = f"a small file system cannot be mounted here: {error} {getattr(error, 'stderr', b'')!r}"
        if os.environ.get("CI"):
            pytest.fail(f"CI is set, so the disk must get full, but {reason}", pytrace=False)
        pytest.skip(reason)
    try:
        with psycopg.connect(server.administrator_dsn, autocommit=True) as administrator:
            location, role = sql.Literal(str(folder)), sql.Identifier(str(conninfo_to_dict(server.dsn)["user"]))
            administrator.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(location))
            administrator.execute(sql.SQL("GRANT CREATE ON TABLESPACE small TO {}").format(role))
        yield "small"
        with psycopg.connect(server.administrator_dsn, autocommit=True) as administrator:
            administrator.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: S607
        folder.rmdir()


def test_full_disk_is_a_permanent_error_and_the_previous_state_remains(
    small_tablespace: str, database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bucket
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 1 << 18)
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, options=f"-c default_tablespace={small_tablespace}"))
    with ready_connection() as postgres:
        load(postgres, put(HEADER + b"a,\nbad\n"))
        before = state(postgres)
        lines = (b"%s,\n" % os.urandom(500).hex().encode() for _ in range(8_000))
        source = put(HEADER + b"".join(lines))
        with pytest.raises(
            WarehouseError, match=r"53100.*No space left on device.*things.*[Cc]heck free disk space"
        ) as caught:
            load(postgres, source)
        assert not is_transient(caught.value)
        assert state(postgres) == before
        assert names(postgres) == ["a"]
        assert left_behind(postgres) == {}
        with connection() as other:  # the failed load left no bytes on the disk
            assert load(other, put(HEADER + b"b,\n")).status == "replaced"


def test_ddl_over_a_connection_that_is_cut_is_a_typed_error(
    postgres: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database
    postgres.execute("DROP SCHEMA things_staging CASCADE")
    postgres.execute("TRUNCATE ledger.applied_files")
    with through_proxy(monkeypatch) as proxy, connection("driver") as proxied:
        begun = proxy.links[0].sent["client"]
    for count in range(begun + 10, begun + 1500, 150):
        with (
            through_proxy(monkeypatch, CutAfter("client", [count])),
            pytest.raises(WarehouseUnavailableError),
            connection("driver") as proxied,
        ):
            apply_ddl(proxied, [THINGS], [])
    assert apply_ddl(postgres, [THINGS], [])
    assert load(postgres, put(HEADER + b"a,\n")).status == "loaded"
