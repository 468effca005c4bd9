"""Exports, against a real Postgres and a real S3 server."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from sample_dataset import client, connection, lake, ready_connection

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import BalanceError, EmptyExportError, LakeError, PartitionBusyError, WarehouseError
from tasks.engine.export import exporter
from tasks.engine.export.exporter import Export, export_of_query, export_of_table, write_exports
from tasks.engine.lake import client as lake_module
from tasks.engine.lake.client import Lake
from tasks.engine.ledger import write_build
from tasks.engine.receipts import ExportReceipt
from tasks.engine.settings import LakeSettings
from tasks.engine.warehouse.locks import locked
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket"), pytest.mark.every_store]

COUNTS_CSV = "month,name,thing_count\n2021-04-01,Z,1\n2021-04-01,a,2\n2021-04-01,é,3\n"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        opened.execute("CREATE SCHEMA marts")
        opened.execute("CREATE TABLE marts.counts (month date, name text, thing_count bigint)")
        opened.execute(
            "INSERT INTO marts.counts VALUES ('2021-04-01', 'é', 3), ('2021-04-01', 'a', 2), ('2021-04-01', 'Z', 1)"
        )
        write_build(opened, "marts.counts", "2021-04", "first", 3, None)
        yield opened


@pytest.fixture
def counts(tmp_path: Path) -> SqlTable:
    (tmp_path / "table.sql").write_text("-- key: month, name\n")
    (tmp_path / "query.sql").write_text("-- key: month, name\nSELECT 1\n")
    return SqlTable("marts.counts", tmp_path)


def export(postgres: Connection, *exports: Export, to: Lake | None = None) -> list[ExportReceipt]:
    return write_exports(postgres, to or lake(), exports, prefix="out/", export_id="default")


def query(text: str, name: str = "answer", fingerprint: str | None = None, **parameters: Any) -> Export:
    return Export(name, sql.SQL(text), parameters, fingerprint)


def held(key: str = "out/default/counts.csv") -> bytes:
    return client().get_object(Bucket=lake().bucket, Key=key)["Body"].read()


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(held("out/default/manifest.json"))
    return found


def entries(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute("SELECT name, row_count FROM ledger.exports ORDER BY entry_id").fetchall()


def test_table_is_exported_in_the_order_of_its_key_with_a_manifest(postgres: Connection, counts: SqlTable) -> None:
    (receipt,) = export(postgres, export_of_table(postgres, counts))
    data = COUNTS_CSV.encode()
    uri = lake().uri("out/default/counts.csv")
    digest = hashlib.sha256(data).hexdigest()
    assert held() == data
    assert receipt == ExportReceipt("counts", uri, "exported", receipt.source_version, 3, len(data), digest)
    assert manifest() == {
        "export_id": "default",
        "files": [{"name": "counts", "uri": uri, "row_count": 3, "size_bytes": len(data), "sha256": digest}],
    }
    assert (
        client().head_object(Bucket=lake().bucket, Key="out/default/counts.csv")["ContentType"].startswith("text/csv")
    )


def test_null_is_bare_and_an_empty_text_quoted(postgres: Connection) -> None:
    export(postgres, query("SELECT NULL::text AS a, '' AS b, 'x,\"y\nz' AS c, 100.5 AS d, DATE '2021-04-01' AS e"))
    assert held("out/default/answer.csv") == b'a,b,c,d,e\n,"","x,""y\nz",100.5,2021-04-01\n'


def test_query_of_no_rows_is_a_header(postgres: Connection) -> None:
    (receipt,) = export(postgres, query("SELECT 1 AS a WHERE false"))
    assert (receipt.row_count, held("out/default/answer.csv")) == (0, b"a\n")


def test_parameters_are_values_with_any_content(postgres: Connection, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("-- parameters: value (text)\nSELECT %(value)s::text AS a, 5 %% 3 AS b\n")
    export(postgres, export_of_query(SqlTable("s.answer", tmp_path), {"value": "'; DROP TABLE marts.counts; --%"}))
    assert held("out/default/answer.csv") == b"a,b\n'; DROP TABLE marts.counts; --%,2\n"


def test_export_of_unchanged_content_is_skipped(
    postgres: Connection, counts: SqlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = export(postgres, export_of_table(postgres, counts))
    monkeypatch.setattr(exporter, "_write", None)
    (again,) = export(postgres, export_of_table(postgres, counts))
    assert (again.status, again.source_version, again.sha256) == ("unchanged", first.source_version, first.sha256)
    assert entries(postgres) == [("counts", 3)]


def test_built_table_is_exported_again(postgres: Connection, counts: SqlTable) -> None:
    export(postgres, export_of_table(postgres, counts))
    postgres.execute("INSERT INTO marts.counts VALUES ('2021-05-01', 'b', 1)")
    write_build(postgres, "marts.counts", "2021-05", "second", 1, None)
    (receipt,) = export(postgres, export_of_table(postgres, counts))
    assert (receipt.status, receipt.row_count) == ("exported", 4)
    assert held() == COUNTS_CSV.encode() + b"2021-05-01,b,1\n"
    assert [(file["name"], file["row_count"]) for file in manifest()["files"]] == [("counts", 4)]


@pytest.mark.parametrize("damage", ["delete", "overwrite"])
def test_object_that_another_program_changed_is_written_again(
    postgres: Connection, counts: SqlTable, damage: str
) -> None:
    export(postgres, export_of_table(postgres, counts))
    key = "out/default/counts.csv"
    if damage == "delete":
        client().delete_object(Bucket=lake().bucket, Key=key)
    else:
        client().put_object(Bucket=lake().bucket, Key=key, Body=b"other")
    (receipt,) = export(postgres, export_of_table(postgres, counts))
    assert (receipt.status, held()) == ("exported", COUNTS_CSV.encode())


def test_export_to_another_prefix_is_its_own(postgres: Connection, counts: SqlTable) -> None:
    export(postgres, export_of_table(postgres, counts))
    for prefix, export_id in (("elsewhere/", "default"), ("out/", "other")):
        (receipt,) = write_exports(
            postgres, lake(), [export_of_table(postgres, counts)], prefix=prefix, export_id=export_id
        )
        assert receipt.status == "exported"
        assert held(f"{prefix}{export_id}/counts.csv") == COUNTS_CSV.encode()


def test_same_rows_give_the_same_bytes(postgres: Connection, counts: SqlTable) -> None:
    export(postgres, export_of_table(postgres, counts), query("SELECT 1 AS a"))
    first = held(), held("out/default/manifest.json")
    postgres.execute("CREATE TABLE marts.copied AS SELECT * FROM marts.counts ORDER BY name DESC")
    postgres.execute("TRUNCATE marts.counts")
    postgres.execute("INSERT INTO marts.counts SELECT * FROM marts.copied")
    write_build(postgres, "marts.counts", "2021-04", "again", 3, None)
    receipts = export(postgres, export_of_table(postgres, counts), query("SELECT 1 AS a"))
    assert [receipt.status for receipt in receipts] == ["exported", "exported"]
    assert (held(), held("out/default/manifest.json")) == first


@pytest.mark.parametrize("rows", [3, 300_000])
def test_failing_query_leaves_the_old_object_and_the_old_manifest(
    postgres: Connection, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)
    export(postgres, query("SELECT 1 AS a"))
    before = held("out/default/answer.csv"), held("out/default/manifest.json"), entries(postgres)
    with pytest.raises(WarehouseError, match=r"22012.*division by zero"):
        export(
            postgres, query(f"SELECT repeat('x', 50) AS x, 1 / ({rows} - n) AS a FROM generate_series(1, {rows}) AS n")
        )
    assert (held("out/default/answer.csv"), held("out/default/manifest.json"), entries(postgres)) == before
    assert export(postgres, query("SELECT 2 AS a"))[0].row_count == 1


def test_failure_of_the_second_file_rolls_back_the_entry_of_the_first(postgres: Connection) -> None:
    with pytest.raises(WarehouseError, match="22012"):
        export(postgres, query("SELECT 1 AS a", "one", "f"), query("SELECT 1 / 0 AS a", "two", "f"))
    assert entries(postgres) == []
    one, two = export(postgres, query("SELECT 1 AS a", "one", "f"), query("SELECT 2 AS a", "two", "f"))
    assert (one.status, two.status) == ("exported", "exported")
    assert [file["name"] for file in manifest()["files"]] == ["one", "two"]


def test_large_export_is_written_in_parts_and_verified(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)
    (receipt,) = export(postgres, query("SELECT n, repeat('x', 50) AS x FROM generate_series(1, 250000) AS n"))
    data = b"n,x\n" + b"".join(b"%d,%s\n" % (n, b"x" * 50) for n in range(1, 250_001))
    assert held("out/default/answer.csv") == data
    assert (receipt.row_count, receipt.size_bytes, receipt.sha256) == (
        250_000,
        len(data),
        hashlib.sha256(data).hexdigest(),
    )
    assert "-" in receipt.source_version


@pytest.mark.parametrize("rows", [1, 250_000])
def test_refused_write_to_the_lake_raises_a_lake_error_and_keeps_the_connection(
    postgres: Connection, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)
    nowhere = Lake(
        LakeSettings.model_validate(
            {
                "bucket": "no-such-bucket-anywhere", "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
                "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
                "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"], "region": os.environ["AWS_REGION"],
            }
        )
    )  # fmt: skip
    with pytest.raises(LakeError, match="NoSuchBucket"):
        export(postgres, query(f"SELECT n, repeat('x', 50) FROM generate_series(1, {rows}) AS n"), to=nowhere)
    assert export(postgres, query("SELECT 1 AS a"))[0].row_count == 1


def test_bytes_that_the_lake_changed_are_refused(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Lake.write

    def changed(self: Lake, key: str, blocks: Iterator[bytes], content_type: str) -> object:
        return write(self, key, (block.replace(b"1", b"2") for block in blocks), content_type)

    monkeypatch.setattr(Lake, "write", changed)
    with pytest.raises(BalanceError, match=r"sent 4 bytes with SHA-256 .*run again"):
        export(postgres, query("SELECT 1 AS a"))
    assert entries(postgres) == []


def test_exports_at_once_end_with_one_whole_state(postgres: Connection, counts: SqlTable) -> None:
    gate = threading.Barrier(4)

    def one(_: int) -> str:
        with connection("exporter") as own:
            wanted = export_of_table(own, counts)
            gate.wait(10)
            return export(own, wanted)[0].status

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == ["exported", "unchanged", "unchanged", "unchanged"]
    assert entries(postgres) == [("counts", 3)]
    assert held() == COUNTS_CSV.encode()


def test_export_waits_for_the_running_export_and_names_it(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.warehouse.locks.LOCK_WAIT", "200ms")
    with (
        connection("the other export") as other,
        locked(other, "export default"),
        pytest.raises(PartitionBusyError, match=r"export default is being written by .*the other export"),
    ):
        export(postgres, query("SELECT 1 AS a"))
    assert export(postgres, query("SELECT 1 AS a"))[0].status == "exported"


def test_answer_without_rows_replaces_an_export_with_rows_only_where_that_is_allowed(postgres: Connection) -> None:
    empty, full = "SELECT name FROM marts.counts WHERE name = 'none'", "SELECT name FROM marts.counts"
    export(postgres, query(empty, "first"))  # the first export may be empty
    export(postgres, query(full, "first"), query(full, "second"))
    before = held("out/default/first.csv"), manifest(), entries(postgres)
    with pytest.raises(EmptyExportError, match=r"second.csv holds 3 rows, the new export holds 0"):
        export(postgres, query("SELECT 1", "first"), query(empty, "second"))
    assert before == (held("out/default/first.csv"), manifest(), entries(postgres))
    write_exports(postgres, lake(), [query(empty, "second")], prefix="out/", export_id="default", allow_empty=True)
    assert held("out/default/second.csv") == b"name\n"
    export(postgres, query(empty, "second"))


def test_table_without_rows_replaces_an_export_with_rows_only_where_that_is_allowed(
    postgres: Connection, counts: SqlTable
) -> None:
    export(postgres, export_of_table(postgres, counts))
    postgres.execute("TRUNCATE marts.counts")
    write_build(postgres, "marts.counts", "2021-04", "emptied", 0, None)
    emptied = export_of_table(postgres, counts)
    with pytest.raises(EmptyExportError, match=r"counts.csv holds 3 rows, the new export holds 0"):
        export(postgres, emptied)
    assert held() == COUNTS_CSV.encode()
    write_exports(postgres, lake(), [emptied], prefix="out/", export_id="default", allow_empty=True)
    assert held() == b"month,name,thing_count\n"
