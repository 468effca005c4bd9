"""The plan of a load with a real Postgres and a real S3 server agrees with the load."""

import gzip
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl
import psycopg
import pytest
from sample_dataset import DATE, HEADER, TEXT, THINGS, connection, lake, load, put, ready_connection

from tasks.contracts import Column, Contract
from tasks.engine.errors import Permanent
from tasks.engine.load import plan as planning
from tasks.engine.load.plan import plan_loads
from tasks.engine.load.plan_text import drift, outcome
from tasks.engine.load.planned import ObjectPlan, Plan
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.tables import Connection
from tasks.plan import plan_text

pytestmark = pytest.mark.usefixtures("database", "bucket")

ALIASED = replace(
    THINGS,
    columns=(
        Column("name", TEXT, "Name.", nullable=False),
        Column("seen_date", DATE, "Day.", source="day", aliases=("date", "when")),
    ),
)


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def plan_of(postgres: Connection, *sources: ObjectRef, contract: Contract = ALIASED) -> Plan:
    return plan_loads(postgres, lake(), contract, sources, RunSettings())


def planned(postgres: Connection, data: bytes, key: str = "2021/04/things.csv", **options: Any) -> ObjectPlan:
    return plan_of(postgres, put(data, key), **options).objects[0]


def test_plan_for_an_empty_warehouse_creates_nothing(database: str) -> None:
    with connection() as postgres:
        plan = plan_of(postgres, put(HEADER + b"a,\n"))
        tables = postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'").fetchone()
    assert database
    assert plan.created == (
        "ledger.loads", "ledger.rejected_rows", "things_staging.things", "things_staging.things_2021_04",
    )  # fmt: skip
    assert (plan.objects[0].action, tables) == ("load", (0,))


def test_plan_agrees_with_the_load(postgres: Connection) -> None:
    source = put(HEADER + b"a,\nb,\nc,x\n")
    first = plan_of(postgres, source)
    assert (first.created, first.objects[0].action) == (("things_staging.things_2021_04",), "load")
    assert load(postgres, source).status == "loaded"
    again = plan_of(postgres, source)
    assert (again.created, again.objects[0].action, outcome(again.objects[0])) == (
        (), "nothing", "already loaded: would be skipped",
    )  # fmt: skip
    changed = plan_of(postgres, put(HEADER + b"A,\n"))
    assert (changed.objects[0].action, outcome(changed.objects[0])) == ("replace", "would replace 2 rows")


def test_rows_that_were_replayed_would_be_replaced_too(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,\nb\n"))
    postgres.execute("UPDATE ledger.rejected_rows SET raw = 'b,'")
    (rejected,) = rejected_loads(postgres, "things", None)
    replay_load(postgres, THINGS, rejected)
    assert planned(postgres, HEADER + b"A,\n").rows_replaced == 2


def test_plan_cannot_write(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(opened: Connection, *_: Any) -> bool:
        opened.execute("CREATE TABLE things_staging.other ()")
        return True

    monkeypatch.setattr(planning, "has_table", write)
    with pytest.raises(Exception, match="read-only transaction"):
        plan_of(postgres, put(HEADER))


def test_plan_reads_the_beginning_alone(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(HEADER + b"a,2021-04-01\n" * 2_000_000)
    read: list[int] = []
    opened = lake().open
    monkeypatch.setattr(type(lake()), "open", lambda _, ref, __, **how: opened(ref, read.append, **how))
    plan_of(postgres, source)
    assert 0 < sum(read) < 3 << 20 < source.size_bytes


@pytest.mark.parametrize(
    ("header", "lines", "error"),
    [
        (b"name,day", [], ""),
        (b"day,name", ["the columns are in another order"], ""),
        (b"name,when", ["column day is delivered as when"], ""),
        (b"x,name,day,y", ["column x is unknown", "column y is unknown"], ""),
        (b"name,dya", ["column day is missing", "column dya is unknown"], "missing day; "),
        (b"name,day,date", ["column day is duplicated"], "names column day 2 times"),
        (b"", [], ""),
    ],
)
def test_csv_header_is_compared_with_the_contract(
    postgres: Connection, header: bytes, lines: list[str], error: str
) -> None:
    found = planned(postgres, header + b"\n")
    assert [line for line in drift(found) if line != found.error] == lines
    assert (error in found.error) if found.error else not error
    if error:
        assert outcome(found) == "the load would fail"


@pytest.mark.parametrize(
    ("data", "key", "found"),
    [
        (gzip.compress(b"name,day\na,2021-04-01\n", mtime=0), "x.csv", "a gzip stream"),
        (b"PK\x03\x04" + bytes(40), "x.csv", "a zip archive"),
        ("name,day\na,2021-04-01\n".encode("utf-16"), "x.csv", "text in UTF-16"),
        ("name,day\na,2021-04-01\n".encode("utf-16-le"), "x.csv", "text in UTF-16"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "x.csv", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "x.csv", "an XML error response"),
        (b"name;day\na;2021-04-01\n", "x.csv", "columns separated by semicolons"),
        (b"sep=,\nname,day\n", "x.csv", "a first line"),
        (b"name,day\ra,2021-04-01\r", "x.csv", "carriage returns"),
        (b"PAR1" + bytes(40), "x.csv", "a parquet file"),
        (b"name,day\na,2021-04-01\n", "x.csv.gz", "text"),
        (b"name,day\na,2021-04-01\n", "x.parquet", "text"),
        (b"name,day\na,2021-04-01\n", "x.json", "CSV"),
        (b'[{"name": "a", "day": "2021-04-01"}]', "x.ndjson", "a JSON document"),
        (b"<html></html>", "x.ndjson", "an HTML page"),
    ],
)
def test_plan_names_the_cause_of_a_wrong_format_as_the_load_does(
    postgres: Connection, data: bytes, key: str, found: str
) -> None:
    plan = planned(postgres, data, key)
    assert plan.error is not None
    assert f"found {found}" in plan.error
    assert outcome(plan) == "the load would fail"
    with pytest.raises(Permanent) as caught:
        load(postgres, put(data, key), contract=ALIASED)
    assert f"found {found}" in str(caught.value)


def test_unknown_column_is_an_error_where_the_contract_says_so(postgres: Connection) -> None:
    found = planned(postgres, b"name,day,x\n", contract=replace(ALIASED, unknown_columns="fail"))
    assert "unknown x" in (found.error or "")


def test_keys_of_json_are_compared_with_the_contract(postgres: Connection) -> None:
    lines = b'{"name": "a"}\n{"when": null, "z": 1, "name": "b"}\n'
    for key, data in {"x.ndjson": lines, "x.json": b"[" + lines.strip().replace(b"\n", b",\n") + b"]"}.items():
        found = planned(postgres, data, key)
        assert list(drift(found)) == ["column day is delivered as when", "column z is unknown"]


def test_key_that_the_first_records_lack_is_an_error_unless_it_may_be_absent(postgres: Connection) -> None:
    data = b'{"name": "a"}\n'
    assert "missing day" in (planned(postgres, data, "x.ndjson").error or "")
    assert planned(postgres, data, "x.ndjson", contract=replace(ALIASED, absent_keys="null")).error is None


def test_columns_of_parquet_are_compared_with_the_contract(postgres: Connection) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"date": ["2021-04-01"], "name": ["a"], "n": [1]}).write_parquet(buffer)
    assert list(drift(planned(postgres, buffer.getvalue(), "x.parquet"))) == [
        "column day is delivered as date", "the columns are in another order", "column n is unknown",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "data"), [("x.csv.gz", b"no gzip"), ("x.json", b"<html>"), ("x.ndjson", b"<html>"), ("x.parquet", b"PAR2")]
)
def test_plan_reports_the_error_of_an_unreadable_object(postgres: Connection, key: str, data: bytes) -> None:
    bad, good = plan_of(postgres, put(data, key), put(HEADER, "y.csv")).objects
    assert key in (bad.error or "")
    assert (outcome(bad), outcome(good)) == ("the load would fail", "would be loaded")


def test_object_without_bytes_has_no_columns_and_no_error(postgres: Connection) -> None:
    assert planned(postgres, b"").error is None


def test_plan_is_written_for_readers(postgres: Connection) -> None:
    text = plan_text(plan_of(postgres, put(b"when,name,x\n")))
    assert "things\\_staging\\.things\\_2021\\_04" in text
    assert "| name | name | matched |" in text
    assert "- column day is delivered as when" in text


def test_plan_leaves_the_connection_as_it_was(postgres: Connection) -> None:
    plan_of(postgres, put(HEADER))
    assert postgres.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    postgres.execute("CREATE TABLE things_staging.other ()")


def test_plan_shows_the_statements_and_the_drift_of_the_ddl_step_and_changes_nothing(
    database: str, bucket: str
) -> None:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        source = put(HEADER + b"a,\n")
        load(opened, source)
        grown = replace(THINGS, columns=(*THINGS.columns, Column("place", TEXT, "Place.")))
        plan = plan_loads(opened, lake(), grown, [source], RunSettings())
        assert 'ALTER TABLE "things_staging"."things" ADD COLUMN "place" text' in plan.statements
        assert plan.drift == ()
        assert plan.statements[0] in plan_text(plan)
        shrunk = replace(THINGS, columns=THINGS.columns[:1])
        refused = plan_loads(opened, lake(), shrunk, [source], RunSettings())
        assert 'DROP COLUMN "seen_date"' in refused.drift[0]
        assert refused.drift[0] in plan_text(refused)
        unchanged = plan_loads(opened, lake(), THINGS, [source], RunSettings())
        assert (unchanged.statements, unchanged.drift) == ((), ())
