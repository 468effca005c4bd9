"""`backfill` in this process: every state of a partition, one that fails, ranges, and the pipelines' own tables."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from sample_dataset import client, load, put, ready_connection, ref

from flows.backfill import PIPELINES, backfill
from flows.events_monthly import events_monthly
from tasks import partition_runs
from tasks.contracts.events import EVENTS
from tasks.engine.backfill.finished_partitions import write_finished
from tasks.engine.backfill.planner import BackfillPlan
from tasks.engine.build.sql_files import sql_digest
from tasks.engine.errors import BackfillError, ContractError
from tasks.engine.schema.ddl import apply_ddl

pytestmark = pytest.mark.usefixtures("prefect_server", "database", "bucket")

HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
ROW = b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,%b-05,a@acme.com,%b,192.0.2.59,index,visit,\"['Mr']\"\n"


@pytest.fixture
def warehouse(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _no_deployment(prefect_server: str) -> None:
    """Others of this session may have deployed the pipelines: here they run in this process."""
    del prefect_server
    with get_client(sync_client=True) as api:
        for pipeline in PIPELINES:
            with suppress(ObjectNotFound):
                api.delete_deployment(api.read_deployment_by_name(f"{pipeline.name}/{pipeline.name}").id)


def deliver(month: str, country: bytes = b"Palau") -> None:
    put(HEADER + ROW % (month.encode(), country), key=f"{month.replace('-', '/')}/events.csv")


@pytest.fixture
def finish_months(warehouse: psycopg.Connection) -> Callable[..., None]:
    """Deliver and finish months with the engine alone, which is quicker than a run."""

    def run(*names: str) -> None:
        with ready_connection(EVENTS) as connection:
            apply_ddl(connection, [EVENTS], ["events_marts"])
            for month in names:
                deliver(month)
                loaded = load(connection, ref(f"{month.replace('-', '/')}/events.csv", month), contract=EVENTS)
                digest = sql_digest(["events_marts"])
                write_finished(connection, "events", month, [loaded.load_id], ["events_marts"], digest, None)

    del warehouse
    return run


def remove(bucket: str, month: str) -> None:
    client().delete_object(Bucket=bucket, Key=f"{month.replace('-', '/')}/events.csv")


def fill(start: str | None = "2021-01", end: str | None = "2021-06", **options: bool) -> BackfillPlan:
    return backfill(pipeline="events-monthly", start=start, end=end, **options)


def states(plan: BackfillPlan) -> dict[str, str]:
    return {planned.partition.removeprefix("2021-"): planned.state for planned in plan.partitions}


def months(warehouse: psycopg.Connection) -> list[tuple[str, str]]:
    rows = warehouse.execute(
        "SELECT to_char(month, 'YYYY-MM'), country FROM events_marts.event_counts_by_country ORDER BY 1, 2"
    )
    return [(month, country) for month, country in rows.fetchall()]


def loads(warehouse: psycopg.Connection) -> int:
    row = warehouse.execute("SELECT count(*) FROM ledger.loads").fetchone()
    return int(row[0]) if row else 0


def artifact(key: str) -> str:
    with get_client(sync_client=True) as api:
        return str(api.request("GET", f"/artifacts/{key}/latest").json()["data"])


def test_plan_shows_every_state_and_only_due_partitions_run(
    warehouse: psycopg.Connection, bucket: str, finish_months: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_months("2021-01", "2021-02", "2021-03", "2021-06")
    # One month is delivered again, one is deleted, one is new, and one has an unfinished run.
    deliver("2021-01", b"Fiji")
    remove(bucket, "2021-02")
    deliver("2021-05")
    warehouse.execute("DELETE FROM ledger.finished_partitions WHERE partition = '2021-06'")
    planned = fill(dry_run=True)
    assert states(planned) == {
        "01": "changed",
        "02": "orphaned",
        "03": "unchanged",
        "04": "missing",
        "05": "new",
        "06": "unfinished",
    }
    before = loads(warehouse)
    ran: list[str] = []
    monkeypatch.setattr(
        partition_runs, "_outcome", lambda partition, state: ran.append(partition) or outcome(partition, state)
    )
    left = fill()
    assert ran == ["2021-01", "2021-05", "2021-06"]
    assert left.due == []
    assert loads(warehouse) == before + 2  # 2021-06 was loaded; only its later steps were missing
    assert months(warehouse) == [("2021-01", "Fiji"), ("2021-05", "Palau"), ("2021-06", "Palau")]
    report = artifact("backfill-events-monthly")
    assert "3 partitions were run: 3 succeeded, 0 failed." in report
    assert f"s3://{bucket}/2021/02/events\\.csv".replace("\\", "") in report.replace("\\", "")
    assert float(artifact("backfill-events-monthly-progress")) == 100
    ran.clear()
    assert fill().due == []
    assert ran == []
    assert loads(warehouse) == before + 2


outcome = partition_runs._outcome


def test_month_that_its_last_file_left_during_the_backfill_loses_its_rows_in_the_same_backfill(
    warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(HEADER + ROW % (b"2021-02", b"Palau"), key="2021/01-02/events.csv")
    monkeypatch.setenv("EVENTS_KEY", "{year:04d}/{month:02d}-*/events.csv")
    fill()
    assert months(warehouse) == [("2021-01", "Palau")]
    monkeypatch.setenv("EVENTS_KEY", "{year:04d}/*-{month:02d}/events.csv")
    left = fill()
    assert (left.due, left.of("unchanged")) == ([], ["2021-02"])
    assert months(warehouse) == [("2021-02", "Palau")]
    assert "2 partitions were run: 2 succeeded, 0 failed." in artifact("backfill-events-monthly")


def test_dry_run_writes_nothing_and_needs_no_ledger(warehouse: psycopg.Connection) -> None:
    deliver("2021-02")
    assert states(fill(dry_run=True))["02"] == "new"
    assert warehouse.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'").fetchone() == (0,)
    assert "1 of 6 partitions is due" in artifact("backfill-events-monthly")


def test_partition_that_fails_stops_no_other_and_fails_the_run_and_its_retry(warehouse: psycopg.Connection) -> None:
    """The retry is the same flow run, so Prefect could return the results of sub-runs from the first try."""
    put(b"id,nonsense\n1,2\n", key="2021/02/events.csv")
    deliver("2021-01")
    deliver("2021-03")
    with pytest.raises(BackfillError) as failure:
        backfill.with_options(retries=1)(pipeline="events-monthly", start="2021-01", end="2021-03")
    assert re.match(
        r"1 of 1 partition of events-monthly failed, 0 succeeded.*\n  2021-02: Failed: .*missing", str(failure.value)
    )
    assert [month for month, _ in months(warehouse)] == ["2021-01", "2021-03"]
    assert "1 partition was run: 0 succeeded, 1 failed." in artifact("backfill-events-monthly")
    assert fill(dry_run=True).due == ["2021-02"]


def test_two_at_once_do_the_work_once(warehouse: psycopg.Connection) -> None:
    deliver("2021-01")
    deliver("2021-02")
    contexts = [copy_context() for _ in range(2)]  # where Prefect keeps the server's address
    with ThreadPoolExecutor(2) as pool:
        left = list(pool.map(lambda context: context.run(fill, "2021-01", "2021-02"), contexts))
    assert [plan.of("unchanged") for plan in left] == [["2021-01", "2021-02"]] * 2
    assert loads(warehouse) == 2
    assert months(warehouse) == [("2021-01", "Palau"), ("2021-02", "Palau")]


def test_open_range_covers_all_delivered_and_loaded_partitions(finish_months: Callable[..., None]) -> None:
    finish_months("2020-12")
    deliver("2021-02")
    planned = fill(None, None, dry_run=True).partitions
    assert [(one.partition, one.state) for one in planned] == [
        ("2020-12", "unchanged"),
        ("2021-01", "missing"),
        ("2021-02", "new"),
    ]


def test_force_runs_every_delivered_month_of_the_range(
    warehouse: psycopg.Connection, bucket: str, finish_months: Callable[..., None]
) -> None:
    finish_months("2021-01", "2021-02", "2021-03")
    remove(bucket, "2021-02")
    assert fill("2021-01", "2021-02", force=True).of("unchanged") == ["2021-01"]
    # Each month in the lake has a new load. The loads of the deleted month and of the month beyond the range stay.
    superseded = warehouse.execute("SELECT partition FROM ledger.loads WHERE status = 'superseded'").fetchall()
    assert superseded == [("2021-01",)]
    assert months(warehouse) == [("2021-01", "Palau")]
    assert "1 partition was run: 1 succeeded, 0 failed." in artifact("backfill-events-monthly")


def test_catch_up_loads_a_corrected_month_again_and_reports_when_nothing_is_due(warehouse: psycopg.Connection) -> None:
    for month in ("2021-01", "2021-02"):
        deliver(month)
    fill(None, None)
    deliver("2021-01", b"Fiji")
    assert fill(None, None).of("unchanged") == ["2021-01", "2021-02"]
    assert months(warehouse) == [("2021-01", "Fiji"), ("2021-02", "Palau")]
    before = loads(warehouse)
    fill(None, None)
    assert loads(warehouse) == before
    assert "Nothing was due: no run of events-monthly was started." in artifact("backfill-events-monthly")


def test_catch_up_beside_a_scheduled_run_loads_once(warehouse: psycopg.Connection) -> None:
    deliver("2021-01")
    contexts = [copy_context() for _ in range(3)]
    runs = [lambda: fill(None, None), lambda: fill(None, None), lambda: events_monthly(month="2021-01")]
    with ThreadPoolExecutor(3) as pool:
        ended = [pool.submit(context.run, run) for context, run in zip(contexts, runs, strict=True)]
        for future in ended:
            future.result(timeout=120)
    assert loads(warehouse) == 1
    assert months(warehouse) == [("2021-01", "Palau")]
    assert fill(None, None, dry_run=True).due == []


def test_empty_lake_causes_no_work() -> None:
    assert fill(None, None).partitions == ()


def test_changed_sql_and_replayed_rows_make_a_month_due(
    warehouse: psycopg.Connection, finish_months: Callable[..., None]
) -> None:
    finish_months("2021-01", "2021-02", "2021-03")
    warehouse.execute(
        "INSERT INTO ledger.loads (dataset, partition, source_uri, source_version, size_bytes, replay_of)"
        " SELECT dataset, partition, source_uri, source_version, size_bytes, load_id FROM ledger.loads"
        " WHERE partition = '2021-01'"
    )
    warehouse.execute("UPDATE ledger.finished_partitions SET sql_digest = 'of before' WHERE partition = '2021-02'")
    found = states(fill(dry_run=True))
    assert (found["01"], found["02"], found["03"]) == ("unfinished", "stale", "unchanged")


def test_month_that_ran_by_itself_is_finished(warehouse: psycopg.Connection) -> None:
    deliver("2021-03")
    events_monthly(month="2021-03")
    assert states(fill(dry_run=True))["03"] == "unchanged"
    rows = warehouse.execute(
        "SELECT dataset, partition, schemas, array_length(load_ids, 1) FROM ledger.finished_partitions"
    )
    assert rows.fetchall() == [("events", "2021-03", ["events_marts"], 1)]


@pytest.mark.parametrize(
    ("pipeline", "start", "end", "message"),
    [
        ("event-monthly", "2021-01", "2021-02", "unknown pipeline 'event-monthly', did you mean events-monthly"),
        ("events-monthly", "2021-03", "2021-02", "not earlier than the start"),
        ("events-monthly", "2021-03-01", "2021-04-01", "expected a month, found 2021-03-01"),
    ],
)
def test_impossible_backfill_is_refused(pipeline: str, start: str, end: str, message: str) -> None:
    with pytest.raises((BackfillError, ContractError), match=message):
        backfill(pipeline=pipeline, start=start, end=end)
