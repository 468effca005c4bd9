"""Single exported files without a manifest, with a real Postgres and a real S3 server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from psycopg import sql
from sample_dataset import client, connection, lake, put, ready_connection

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import PartitionBusyError, WarehouseError
from tasks.engine.export import exporter
from tasks.engine.export.exporter import Export, export_of_query, write_file
from tasks.engine.lake import client as lake_module
from tasks.engine.receipts import ExportReceipt
from tasks.engine.warehouse.locks import locked
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket"), pytest.mark.every_store]


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def write(postgres: Connection, text: str, name: str = "2021-04-01", fingerprint: str | None = None) -> ExportReceipt:
    export = Export(name, sql.SQL(text), {}, fingerprint)
    return write_file(postgres, lake(), export, prefix="Output/", group="days/")


def held() -> dict[str, bytes]:
    objects = client().list_objects_v2(Bucket=lake().bucket).get("Contents", [])
    return {item["Key"]: client().get_object(Bucket=lake().bucket, Key=item["Key"])["Body"].read() for item in objects}


def test_single_file_is_recorded_under_its_group(postgres: Connection) -> None:
    receipt = write(postgres, "SELECT 1 AS a")
    assert (receipt.uri, receipt.status, receipt.row_count) == (lake().uri("Output/2021-04-01.csv"), "exported", 1)
    assert held() == {"Output/2021-04-01.csv": b"a\n1\n"}
    entries = postgres.execute("SELECT export_id, name, row_count, sha256 FROM ledger.exports").fetchall()
    assert entries == [("days/", "2021-04-01", 1, receipt.sha256)]


def test_same_content_is_skipped_until_its_object_changes(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(postgres, "SELECT 1 AS a", fingerprint="x")
    with monkeypatch.context() as patch:
        patch.setattr(exporter, "_write", None)
        assert write(postgres, "SELECT 1 AS a", fingerprint="x").status == "unchanged"
    assert write(postgres, "SELECT 2 AS a", fingerprint="y").status == "exported"
    put(b"other", "Output/2021-04-01.csv")
    assert write(postgres, "SELECT 2 AS a", fingerprint="y").status == "exported"
    assert held() == {"Output/2021-04-01.csv": b"a\n2\n"}


def test_failing_query_leaves_the_old_file(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)
    write(postgres, "SELECT 1 AS a")
    with pytest.raises(WarehouseError, match=r"22012.*division by zero"):
        write(postgres, "SELECT repeat('x', 50) AS x, 1 / (300000 - n) AS a FROM generate_series(1, 300000) AS n")
    assert held() == {"Output/2021-04-01.csv": b"a\n1\n"}
    assert postgres.execute("SELECT count(*) FROM ledger.exports").fetchone() == (1,)


def test_parts_that_a_killed_run_left_of_the_file_are_removed_and_no_others(postgres: Connection) -> None:
    for key in ("Output/2021-04-01.csv", "Output/2021-04-02.csv"):
        client().create_multipart_upload(Bucket=lake().bucket, Key=key)
    write(postgres, "SELECT 1 AS a")
    uploads = client().list_multipart_uploads(Bucket=lake().bucket)["Uploads"]
    assert [upload["Key"] for upload in uploads] == ["Output/2021-04-02.csv"]


def test_one_writer_per_file_and_writers_of_other_files_continue(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.warehouse.locks.LOCK_WAIT", "100ms")
    with connection("the other run") as other:
        with locked(other, f"export {lake().uri('Output/2021-04-01.csv')}"):
            with pytest.raises(PartitionBusyError, match="the other run"):
                write(postgres, "SELECT 1 AS a")
            write(postgres, "SELECT 1 AS a", "2021-04-02")
        write(postgres, "SELECT 1 AS a")
    assert list(held()) == ["Output/2021-04-01.csv", "Output/2021-04-02.csv"]


def test_files_that_are_written_at_the_same_time_all_remain() -> None:
    gate = Barrier(4)

    def write_day(day: int) -> int:
        with connection() as own:
            gate.wait(10)
            return write(own, f"SELECT {day} AS a", f"2021-04-0{day}").size_bytes

    with ready_connection(), ThreadPoolExecutor(4) as pool:
        list(pool.map(write_day, [1, 2, 3, 3]))
    assert held() == {f"Output/2021-04-0{day}.csv": b"a\n%d\n" % day for day in (1, 2, 3)}


def test_query_is_known_by_its_loads_its_text_and_its_parameters(tmp_path: Path) -> None:
    table = SqlTable("s.answer", tmp_path)
    fingerprints = set()
    for text in ("SELECT %(day)s::date AS a", "SELECT %(day)s::date AS b"):
        (tmp_path / "query.sql").write_text(text)
        for day in ("2021-04-01", "2021-04-02"):
            for loads in ([], [1], [1, 2], [12]):
                one, same = (export_of_query(table, {"day": day}, name=day, loads=loads) for _ in range(2))
                assert one.fingerprint == same.fingerprint
                fingerprints.add(one.fingerprint)
    assert len(fingerprints) == 16
    assert export_of_query(table, {"day": "2021-04-01"}).fingerprint is None
