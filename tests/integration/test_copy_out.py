"""The rows of a query as blocks of CSV, with a real Postgres: bytes, edges of blocks, errors and interruptions."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from faults.tcp_proxy import CutAfter, tcp_proxy
from peak_memory import needs_proc, printed_by
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from sample_dataset import connection

from deployments.local.postgres_binaries import find_binaries
from tasks.engine.errors import WarehouseUnavailableError, errors_at
from tasks.engine.warehouse import copy_out
from tasks.engine.warehouse.copy_out import CopyOut
from tasks.engine.warehouse.tables import Connection

ROWS = "SELECT n, repeat('é', n % {width}) AS letters, nullif(n % 3, 0) FROM generate_series(1, {count}) AS n"
MIXED = (
    "VALUES (1, NULL, ''), (2, 'a,b', E'two\\nlines'), (3, '\"quoted\"', E'tab\\t'), (4, 'Ünï', '\\.'), (5, ' ', '\\N')"
)


@pytest.fixture
def warehouse(database: str) -> Iterator[Connection]:
    del database  # it sets the environment
    with connection("copy out") as opened:
        yield opened


def by_psycopg(warehouse: Connection, query: str) -> bytes:
    with warehouse.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as rows:  # type: ignore[arg-type]
        return b"".join(rows)


def blocks_of(warehouse: Connection, query: str) -> tuple[list[bytes], int]:
    rows = CopyOut(warehouse, sql.SQL(query))
    return list(rows), rows.row_count


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("SELECT 1 AS a WHERE false", 0, id="no row"),
        pytest.param("SELECT WHERE false", 0, id="no row and no column"),
        pytest.param("SELECT FROM generate_series(1, 3)", 3, id="no column"),
        pytest.param("SELECT 1 AS a", 1, id="one row"),
        pytest.param(MIXED, 5, id="quotes, nulls and line ends"),
        pytest.param(ROWS.format(width=40, count=60_000), 60_000, id="several blocks"),
        pytest.param("SELECT repeat('x', 3 << 20) FROM generate_series(1, 3)", 3, id="rows of several blocks"),
    ],
)
def test_blocks_hold_the_bytes_that_psycopg_reads_row_by_row(warehouse: Connection, query: str, count: int) -> None:
    blocks, row_count = blocks_of(warehouse, query)
    assert b"".join(blocks) == by_psycopg(warehouse, query)
    assert row_count == count
    assert {len(block) for block in blocks[:-1]} <= {copy_out.BLOCK_BYTES}
    assert all(0 < len(block) <= copy_out.BLOCK_BYTES for block in blocks)


@pytest.mark.parametrize("seed", range(3))
def test_row_may_end_at_any_place_of_a_block(warehouse: Connection, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311
    for block_bytes in [1, 2, 3, *(drawn.randrange(4, 3000) for _ in range(7))]:
        query = ROWS.format(width=drawn.randrange(1, 300), count=drawn.randrange(1, 50))
        monkeypatch.setattr(copy_out, "BLOCK_BYTES", block_bytes)
        blocks, _ = blocks_of(warehouse, query)
        assert b"".join(blocks) == by_psycopg(warehouse, query)
        assert {len(block) for block in blocks[:-1]} <= {block_bytes}


def test_parameters_are_inserted_as_values(warehouse: Connection) -> None:
    query = sql.SQL("SELECT %(text)s AS text, '50%%' AS share, %(day)s::date AS day")
    rows = CopyOut(warehouse, query, {"text": "it's; DROP TABLE x", "day": "2021-04-01"})
    assert b"".join(rows) == b"text,share,day\nit's; DROP TABLE x,50%,2021-04-01\n"


def test_rows_that_come_after_a_pause_are_read(warehouse: Connection) -> None:
    pauses = "SELECT n, pg_sleep(0.15), repeat('x', 9000) FROM generate_series(1, 3) AS n"
    blocks, row_count = blocks_of(warehouse, pauses)
    assert (row_count, b"".join(blocks).count(b"\n")) == (3, 4)


def test_iterator_that_is_closed_early_cancels_its_query(warehouse: Connection) -> None:
    with warehouse.transaction():
        rows = iter(CopyOut(warehouse, sql.SQL("SELECT generate_series(1, 100000000), repeat('x', 1000)")))
        assert len(next(rows)) == copy_out.BLOCK_BYTES
        rows.close()  # type: ignore[attr-defined]
        assert warehouse.info.transaction_status == TransactionStatus.INERROR
        raise psycopg.Rollback
    assert blocks_of(warehouse, "SELECT 1 AS a") == ([b"a\n1\n"], 1)


@pytest.mark.parametrize("rows", [3, 300_000])
def test_failing_query_raises_its_error_and_keeps_the_connection(warehouse: Connection, rows: int) -> None:
    query = f"SELECT repeat('x', 50), 1 / ({rows} - n) FROM generate_series(1, {rows}) AS n"
    with pytest.raises(psycopg.errors.DivisionByZero):
        blocks_of(warehouse, query)
    assert blocks_of(warehouse, "SELECT 1 AS a") == ([b"a\n1\n"], 1)


def test_refused_query_raises_its_error(warehouse: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
        blocks_of(warehouse, "SELECT * FROM nowhere")


@pytest.mark.parametrize("is_after_rows", [True, False])
def test_backend_that_is_terminated_is_a_lost_connection(warehouse: Connection, is_after_rows: bool) -> None:
    rows = 200_000 if is_after_rows else 1
    query = (
        "SELECT repeat('x', 100), CASE WHEN n = {0} THEN pg_terminate_backend(pg_backend_pid()) END"
        " FROM generate_series(1, {0}) AS n"
    )
    with pytest.raises(psycopg.OperationalError) as caught:
        blocks_of(warehouse, query.format(rows))
    assert caught.value.sqlstate in {"57P01", None}
    assert warehouse.broken


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "closed"])
def test_connection_that_is_cut_between_rows_is_lost(
    database: str, monkeypatch: pytest.MonkeyPatch, is_reset: bool
) -> None:
    address = conninfo_to_dict(database)
    fault = CutAfter("server", [3_000_000], is_reset=is_reset)
    with tcp_proxy(str(address["host"]), int(str(address["port"])), fault) as proxy:
        monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, host="127.0.0.1", port=proxy.port))
        with (
            pytest.raises(WarehouseUnavailableError, match="connection lost"),
            connection() as proxied,
            errors_at("export"),
        ):
            blocks_of(proxied, "SELECT generate_series(1, 100000000), repeat('x', 1000)")
    assert fault.cuts == 1


def _active_queries(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as own:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
        query += " AND state = 'active'"
        ((count,),) = own.execute(query).fetchall()
    return int(count)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Interrupts raise KeyboardInterrupt. A shell lets its background processes ignore them."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("rows", [1, 100])
def test_interrupt_ends_a_query_that_sends_nothing(database: str, rows: int) -> None:
    query = "SELECT repeat('x', 100000), CASE WHEN n = {0} THEN pg_sleep(600) END FROM generate_series(1, {0}) AS n"

    def interrupt() -> None:
        while not _active_queries(database):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # The thread runs while the main thread waits for rows, and Python handles the signal during that wait.
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt), connection("interrupted") as own:
        blocks_of(own, query.format(rows))
    thread.join()
    while _active_queries(database):  # the server ends a cancelled query a moment later
        time.sleep(0.01)


SLOWER_PSYCOPG = """
import psycopg
from psycopg import sql
from sample_dataset import connection
from tasks.engine.warehouse.copy_out import CopyOut
with connection("python") as warehouse:
    rows = CopyOut(warehouse, sql.SQL("SELECT n, repeat('x', n) AS x FROM generate_series(1, 2000) AS n"))
    print(psycopg.pq.__impl__, sum(map(len, rows)), rows.row_count)
"""


def test_psycopg_without_its_extension_gives_the_same_rows(warehouse: Connection) -> None:
    libraries = find_binaries(None).parent / "lib"
    done = subprocess.run(
        [sys.executable, "-c", SLOWER_PSYCOPG],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PSYCOPG_IMPL": "python",
            "LD_LIBRARY_PATH": str(libraries),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    size = len(by_psycopg(warehouse, "SELECT n, repeat('x', n) AS x FROM generate_series(1, 2000) AS n"))
    assert (done.stdout.split(), done.stderr) == (["python", str(size), "2000"], "")


MEMORY = """
import sys
from peak_memory import peak_mb
from psycopg import sql
from sample_dataset import connection
from tasks.engine.warehouse.copy_out import CopyOut
with connection("memory") as warehouse:
    query = sql.SQL(f"SELECT n, repeat('x', 200) FROM generate_series(1, {int(sys.argv[1])}) AS n")
    print(sum(map(len, CopyOut(warehouse, query))) >> 20, peak_mb())
"""


@needs_proc
def test_memory_does_not_grow_with_the_number_of_rows(warehouse: Connection) -> None:
    del warehouse  # its database is in the environment
    few, many = ([float(word) for word in printed_by(MEMORY, rows)[0].split()] for rows in ("20000", "400000"))
    assert (few[0], many[0]) == (3, 79)
    assert many[1] < few[1] + 5
