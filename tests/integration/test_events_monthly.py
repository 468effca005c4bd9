"""`events-monthly` from the lake to the exports and the report, compared with the oracle."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import httpx
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from events_oracle import EventsFile, read_events, top
from prefect.exceptions import ParameterTypeError
from runs_here import run_here
from sample_dataset import client

from deployments.samples.events import events_csv, object_key
from flows.events_monthly import events_monthly
from tasks.connections import open_lake, open_warehouse, run_settings
from tasks.contracts.events import EVENTS
from tasks.engine.errors import MissingObjectError, ShrinkError
from tasks.engine.load.loader import load_object
from tasks.engine.receipts import LoadReceipt
from tasks.engine.schema.ddl import apply_ddl
from tasks.extract import objects_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("prefect_server", "database", "bucket")]

COLUMNS = {"country": "country", "user": "email", "company": "company", "date": "event_date", "tag": "tag"}
HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
ROW = b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,2021-03-31,a@acme.com,Palau,192.0.2.59,index,visit,\"['Mr']\"\n"


@pytest.fixture
def s3(bucket: str) -> "S3Client":
    del bucket  # its variables say where S3 is
    return client()


@pytest.fixture
def warehouse(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


def sample(month: str, rows: int = 400, *, seed: int = 1) -> bytes:
    return b"".join(events_csv(month, rows, seed=seed, bad_rows=8))


def put(s3: "S3Client", bucket: str, month: str, data: bytes) -> EventsFile:
    s3.put_object(Bucket=bucket, Key=object_key("", month), Body=data)
    return read_events(data)


def marts_of(warehouse: psycopg.Connection, month: str) -> dict[str, Counter[str]]:
    return {
        group: Counter(
            dict(
                warehouse.execute(
                    f"SELECT {column}::text, event_count FROM events_marts.event_counts_by_{group} WHERE month = %s",
                    [f"{month}-01"],
                ).fetchall()
            )
        )
        for group, column in COLUMNS.items()
    }


def expected_marts(*files: EventsFile) -> dict[str, Counter[str]]:
    return {group: sum((file.counts(group) for file in files), Counter()) for group in COLUMNS}


def export_of(s3: "S3Client", bucket: str, name: str) -> str:
    return s3.get_object(Bucket=bucket, Key=f"analytics_export/default/{name}")["Body"].read().decode()


def run_month(month: str, *, force: bool = False) -> list[LoadReceipt]:
    loads: list[LoadReceipt] = run_here(events_monthly, month=month, force=force)
    return loads


def test_a_month_is_loaded_typed_and_every_row_is_accounted_for(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    expected = put(s3, bucket, "2021-04", sample("2021-04"))
    (load,) = events_monthly(month="2021-04")
    assert (load.status, load.rows_read, load.rows_loaded) == ("loaded", expected.rows_read, expected.rows_loaded)
    found = [
        (*row[:6], row[6] and row[6].packed, *row[7:])
        for row in warehouse.execute(
            "SELECT id, occurred_at, event_date, email, company, country, ip, uri, action, tags, month, load_id"
            " FROM events_staging.events"
        )
    ]
    wanted = [
        (
            *(row.id, row.occurred_at, row.event_date, row.email, row.company, row.country),
            *(row.ip and row.ip.packed, row.uri, row.action, None if row.tags is None else list(row.tags)),
            *(date(2021, 4, 1), load.load_id),
        )
        for row in expected.rows
    ]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    rejected = warehouse.execute("SELECT line_number, column_name, raw FROM ledger.rejected_rows ORDER BY 1").fetchall()
    assert rejected == [(r.line_number, r.column, r.raw) for r in expected.rejected]
    ingested = warehouse.execute(
        "SELECT count(*), min(source_uri), min(flow_run_id::text) IS NOT NULL FROM events_staging.events_ingested"
    ).fetchone()
    assert ingested == (expected.rows_loaded, f"s3://{bucket}/2021/04/events.csv", True)


def test_marts_and_exports_agree_with_the_oracle_for_two_months(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    files = {month: put(s3, bucket, month, sample(month)) for month in ("2021-03", "2021-04")}
    for month in files:
        run_month(month=month)
    for month, file in files.items():
        assert marts_of(warehouse, month) == expected_marts(file)
    manifest = json.loads(export_of(s3, bucket, "manifest.json"))
    assert [entry["name"] for entry in manifest["files"]] == sorted(f"event_counts_by_{group}" for group in COLUMNS)
    for group, column in COLUMNS.items():
        text = export_of(s3, bucket, f"event_counts_by_{group}.csv")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert rows[0] == ["month", column, "event_count"]
        assert rows[1:] == [
            [f"{month}-01", value, str(count)]
            for month, file in files.items()
            for value, count in sorted(file.counts(group).items())
        ]
        (entry,) = [entry for entry in manifest["files"] if entry["name"] == f"event_counts_by_{group}"]
        assert (entry["row_count"], entry["size_bytes"]) == (len(rows) - 1, len(text.encode()))


def test_loaded_month_is_skipped(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    put(s3, bucket, "2021-04", sample("2021-04"))
    run_month(month="2021-04")

    def state() -> object:
        objects = s3.list_objects_v2(Bucket=bucket, Prefix="analytics_export/default/event")["Contents"]
        rows = [
            warehouse.execute(f"SELECT xmin, * FROM {table}").fetchall()
            for table in ("ledger.loads", "ledger.builds", "ledger.exports", "events_marts.event_counts_by_country")
        ]
        return [(item["Key"], item["ETag"], item["LastModified"]) for item in objects], rows

    before = state()
    (load,) = run_month(month="2021-04")
    assert load.status == "unchanged"
    assert state() == before


def test_a_forced_month_is_loaded_again_to_the_same_rows(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    expected = put(s3, bucket, "2021-04", sample("2021-04"))
    run_month(month="2021-04")
    (load,) = run_month(month="2021-04", force=True)
    assert load.status == "replaced"
    assert marts_of(warehouse, "2021-04") == expected_marts(expected)


def test_a_corrected_month_replaces_exactly_itself(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    march = put(s3, bucket, "2021-03", sample("2021-03"))
    put(s3, bucket, "2021-04", sample("2021-04"))
    for month in ("2021-03", "2021-04"):
        run_month(month=month)
    corrected = put(s3, bucket, "2021-04", sample("2021-04", 300, seed=2))
    (load,) = run_month(month="2021-04")
    assert (load.status, load.rows_loaded) == ("replaced", corrected.rows_loaded)
    assert marts_of(warehouse, "2021-03") == expected_marts(march)
    assert marts_of(warehouse, "2021-04") == expected_marts(corrected)
    entries = warehouse.execute(
        "SELECT status, superseded_by FROM ledger.loads WHERE partition = '2021-04' ORDER BY load_id"
    ).fetchall()
    assert entries == [("superseded", load.load_id), ("loaded", None)]


def test_a_run_that_died_between_load_and_marts_is_completed_by_the_next(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    expected = put(s3, bucket, "2021-04", sample("2021-04"))
    settings = run_settings()
    with open_warehouse() as connection, open_lake() as lake:
        (source,) = objects_of(lake, EVENTS, "2021-04")
        apply_ddl(connection, [EVENTS], ["events_marts"])
        load_object(connection, lake, EVENTS, source, settings)
    (load,) = run_month(month="2021-04")
    assert load.status == "unchanged"
    assert marts_of(warehouse, "2021-04") == expected_marts(expected)


@pytest.mark.parametrize("data", [b"", HEADER, b"\xef\xbb\xbf" + HEADER], ids=["empty", "header", "bom and header"])
def test_empty_month_empties_its_partition_only_with_force(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, data: bytes
) -> None:
    put(s3, bucket, "2021-04", HEADER + ROW)
    run_month(month="2021-04")
    before = marts_of(warehouse, "2021-04")
    put(s3, bucket, "2021-04", data)
    with pytest.raises(ShrinkError, match="found 0 rows"):
        run_month(month="2021-04")
    assert marts_of(warehouse, "2021-04") == before
    (load,) = run_month(month="2021-04", force=True)
    assert (load.status, load.rows_read) == ("replaced", 0)
    assert marts_of(warehouse, "2021-04") == {group: Counter() for group in COLUMNS}


def test_a_missing_month_fails_at_once_and_names_the_nearest(s3: "S3Client", bucket: str) -> None:
    for month in ("2020-11", "2021-01", "2021-06", "2023-01"):
        put(s3, bucket, month, HEADER)
    with pytest.raises(MissingObjectError, match=rf"s3://{bucket}/2021/04/events.csv") as caught:
        run_month(month="2021-04")
    assert "2020-11, 2021-01, 2021-06" in str(caught.value)


def test_invalid_month_is_refused() -> None:
    with pytest.raises(ParameterTypeError):
        events_monthly(month="2021-13")


def write_parquet(data: bytes) -> bytes:
    table = pa.csv.read_csv(io.BytesIO(data), parse_options=pa.csv.ParseOptions(newlines_in_values=True))
    out = io.BytesIO()
    pa.parquet.write_table(table, out, row_group_size=100)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("events.csv.gz", gzip.compress),
        ("events.csv.zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
        ("events.parquet", write_parquet),
    ],
)
def test_other_formats_are_a_setting(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, name: str, pack: object
) -> None:
    data = b"".join(events_csv("2021-04", 500, bad_rows=0))
    monkeypatch.setenv("EVENTS_KEY", "{year:04d}/{month:02d}/" + name)
    monkeypatch.setenv("EVENTS_PREFIX", "raw/")
    assert callable(pack)
    s3.put_object(Bucket=bucket, Key=f"raw/2021/04/{name}", Body=pack(data))
    run_month(month="2021-04")
    assert marts_of(warehouse, "2021-04") == expected_marts(read_events(data))


def test_daily_keys_make_a_month_of_all_its_days(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_KEY", "{year:04d}/{month:02d}/{day:02d}/events.csv")
    days = {day: sample("2021-04", 300, seed=day) for day in (1, 2, 30)}
    for day, data in days.items():
        s3.put_object(Bucket=bucket, Key=f"2021/04/{day:02d}/events.csv", Body=data)
    assert [load.status for load in events_monthly(month="2021-04")] == ["loaded"] * 3
    assert marts_of(warehouse, "2021-04") == expected_marts(*map(read_events, days.values()))
    days[2] = sample("2021-04", 200, seed=99)
    s3.put_object(Bucket=bucket, Key="2021/04/02/events.csv", Body=days[2])
    assert [load.status for load in events_monthly(month="2021-04")] == ["unchanged", "replaced", "unchanged"]
    assert marts_of(warehouse, "2021-04") == expected_marts(*map(read_events, days.values()))


def latest_artifact(api_url: str, key: str) -> str:
    return str(httpx.get(f"{api_url}/artifacts/{key}/latest").raise_for_status().json()["data"])


def test_the_report_accounts_for_the_rows_and_shows_the_answers(
    s3: "S3Client", bucket: str, prefect_server: str
) -> None:
    expected = put(s3, bucket, "2021-04", sample("2021-04"))
    events_monthly(month="2021-04")
    report = latest_artifact(prefect_server, "events-monthly")
    assert f"| {expected.rows_read:,} | {expected.rows_loaded:,} | 8 |" in report
    assert "](data:image/svg+xml;base64," in report
    assert json.loads(latest_artifact(prefect_server, "events-monthly-top-countries")) == [
        {"countries": value, "events": count} for value, count in top(expected.counts("country"), 10)
    ]


def test_a_run_is_named_after_its_month(s3: "S3Client", bucket: str, prefect_server: str) -> None:
    put(s3, bucket, "2029-05", HEADER + ROW)
    events_monthly(month="2029-05")
    named = {"flow_runs": {"name": {"any_": ["events-monthly-2029-05"]}}}
    assert len(httpx.post(f"{prefect_server}/flow_runs/filter", json=named).json()) == 1
