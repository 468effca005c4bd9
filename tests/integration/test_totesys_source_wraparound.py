"""Extractions from a server whose transaction ids wrap around, as on a busy server after four billion transactions."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from totesys_extracts import Copies, changed, drawing, rows_in, snapshot

from deployments.local import postgres_binaries
from deployments.local.child_process import service_account, spawn
from deployments.local.embedded import Postgres
from deployments.samples.totesys import OPENED_AT, create_source, fill_source
from deployments.samples.totesys_changes import change_source

LAST_ID = (1 << 32) - 1
IDS_PER_FILE = 1 << 20
"""Number of transaction ids in a file of pg_xact, which holds two bits for each id."""


@pytest.fixture
def server(reachable_tmp_path: Path) -> Iterator[Postgres]:
    running = Postgres(reachable_tmp_path / "postgres", is_durable=False)
    running.start()
    yield running
    running.stop()


def leap(server: Postgres, next_id: int) -> None:
    """Freeze all rows, and let the next transaction have another id."""
    with psycopg.connect(server.administrator_dsn, autocommit=True) as connection:
        connection.execute("UPDATE pg_database SET datallowconn = true")
        names = [name for (name,) in connection.execute("SELECT datname FROM pg_database")]
    for name in names:
        with psycopg.connect(make_conninfo(server.administrator_dsn, dbname=name), autocommit=True) as connection:
            connection.execute("VACUUM (FREEZE)")
    server.stop()
    account, states = service_account(), server.data / "pg_xact" / f"{next_id // IDS_PER_FILE:04X}"
    states.write_bytes(bytes(IDS_PER_FILE // 4))
    if account:
        shutil.chown(states, account.uid, account.gid)
    program = postgres_binaries.find_binaries(account) / "pg_resetwal"
    command = [program, "-x", str(next_id), "-D", server.data]
    assert spawn(command, environment={}, log=server.log, account=account).wait(60) == 0
    server.start()


def test_no_row_is_missed_or_extracted_twice_when_transaction_ids_wrap_around(server: Postgres) -> None:
    copies, rng, at = Copies(server.dsn), drawing(1), OPENED_AT
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        create_source(connection)
        fill_source(connection, sales_orders=40)
    copies.extract()
    for next_id in (2_000_000_000, 3_900_000_000, LAST_ID - 150):
        leap(server, next_id)
        if next_id < LAST_ID - 150:
            with snapshot(server.dsn) as opened:
                assert "transactions since the last extraction" in opened.usable(copies.watermark)[1]
        copies.extract()
        assert changed(copies.extract()) == {}
    for _ in range(6):
        at += timedelta(hours=1)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            counts = change_source(connection, rng, 60, at=at, silent_share=0.5)
        found = sum(map(len, changed(copies.extract()).values()))
        assert 0 < found <= sum(count for name, count in counts.items() if name.startswith(("insert", "update")))
        assert copies.tables == rows_in(server.dsn)
    assert copies.watermark is not None
    assert int(copies.watermark.horizon) > LAST_ID
