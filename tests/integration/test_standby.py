"""A standby server: Tally refuses it as the warehouse and accepts it as a source."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sample_dataset import connection
from sample_source import create_office, department_names, office_snapshot

from deployments.local.postgres_server import Postgres
from tasks.engine.errors import SourceBehindError, WarehouseError, WarehouseUnavailableError, is_transient


@pytest.fixture(scope="module")
def standby() -> Iterator[str]:
    """The DSN of a standby with an operational database. Its primary has ended."""
    folder = Path(tempfile.mkdtemp(prefix="tally-test-"))
    folder.chmod(0o711)
    server = Postgres(folder / "postgres", is_durable=False, settings={"wal_level": "replica"})
    try:
        server.start()
        with psycopg.connect(server.dsn, autocommit=True) as primary:
            create_office(primary, "Perú")
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        yield server.dsn
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_standby_as_the_warehouse_is_a_permanent_error(standby: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", standby)
    words = r"warehouse session: .*takes writes, found a standby \(.*\)\. Name the primary in the DSN.*read-write"
    with pytest.raises(WarehouseError, match=words) as caught, connection():
        pass
    assert not is_transient(caught.value)


def test_missing_primary_is_awaited_because_a_failover_may_be_under_way(
    standby: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", f"{standby}?target_session_attrs=read-write")
    with pytest.raises(WarehouseUnavailableError, match="session is read-only") as caught, connection():
        pass
    assert is_transient(caught.value)


def test_standby_is_a_source(standby: str) -> None:
    with office_snapshot(standby) as opened:
        assert department_names(opened) == ["Perú"]
        begin, _ = opened.usable(opened.watermark)
        assert begin == opened.watermark


def test_replica_that_lags_behind_the_last_run_is_tried_again(standby: str) -> None:
    with office_snapshot(standby) as opened:
        last = replace(opened.watermark, next=str(int(opened.watermark.next) + 1))
        for read in (opened.usable, opened.check_follows):
            with pytest.raises(SourceBehindError, match="found a replica that has reached transaction") as caught:
                read(last)
            assert is_transient(caught.value)
