"""The flows `plan` and `replay-rejected` on the events: their reports, and the month's next run."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from runs_here import run_here
from sample_dataset import put

from flows.events_monthly import events_monthly
from flows.plan import plan
from flows.replay_rejected import replay_rejected
from tasks.contracts import events
from tasks.engine.errors import ContractError, MissingObjectError

pytestmark = pytest.mark.usefixtures("prefect_server", "database", "bucket")

KEY = "2021/04/events.csv"
HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
ROW = b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,%b,a@acme.com,%b,192.0.2.59,index,visit,\"['Mr']\"\n"


@pytest.fixture
def warehouse(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def text_of(key: str) -> str:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        artifacts = client.request(
            "POST", "/artifacts/filter", json={"artifacts": wanted.model_dump(mode="json")}
        ).json()
    return str(max(artifacts, key=lambda artifact: artifact["created"])["data"])


def lenient(text: str | None) -> str | None:
    return text and text.replace("/", "-")


def fix_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = tuple(
        replace(column, derive=lenient) if column.source_name == "timestamp" else column
        for column in events.EVENTS.columns
    )
    monkeypatch.setattr(events, "EVENTS", replace(events.EVENTS, columns=columns))


def test_replayed_rows_are_counted_by_the_next_run(
    warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(HEADER + ROW % (b"2021-04-01", b"Palau") + ROW % (b"2021/04/02", b"Fiji") + ROW % (b"April", b"Peru"), KEY)
    events_monthly(month="2021-04")
    assert "| 2 | 2 | load 1, line 3; load 1, line 4 |" in text_of("events-monthly").replace("\\", "")
    assert replay_rejected(dataset="events", partition="2021-04")[0].rows_loaded == 0
    fix_contract(monkeypatch)
    (receipt,) = replay_rejected(dataset="events")
    assert (receipt.partition, receipt.rows_loaded, receipt.rows_left) == ("2021-04", 1, 1)
    report = text_of("replay-rejected-events").replace("\\", "")
    assert "The tables built from 2021-04 lack the loaded rows" in report
    assert "| 2 | 1 | load 1, line 4; load 1, line 3 |" in report

    (again,) = run_here(events_monthly, month="2021-04")
    assert again.status == "unchanged"
    counts = warehouse.execute("SELECT country, event_count FROM events_marts.event_counts_by_country ORDER BY 1")
    assert counts.fetchall() == [("Fiji", 1), ("Palau", 1)]
    assert replay_rejected(dataset="events")[0].load_id is None


def test_plan_shows_the_effects_of_a_run_and_changes_nothing(warehouse: psycopg.Connection) -> None:
    put(HEADER.replace(b"tags", b"tags,x") + ROW[:-1] % (b"2021-04-01", b"Palau") + b",1\n", KEY)
    planned = plan(dataset="events", partition="2021-04")
    assert planned.created[0] == "ledger.loads"
    assert [(one.action, one.unknown) for one in planned.objects] == [("load", ("x",))]
    assert warehouse.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'").fetchone() == (0,)
    assert "would be loaded" in text_of("plan-events")
    run_here(events_monthly, month="2021-04")
    assert plan(dataset="events", partition="2021-04").objects[0].action == "nothing"


@pytest.mark.parametrize(
    ("dataset", "partition", "message"),
    [
        ("event", "2021-04", "did you mean events"),
        ("events", "2021-04-01", "events is divided by month: expected a month, found 2021-04-01"),
        ("events", None, "expected a month, found none"),
    ],
)
def test_plan_of_an_unknown_dataset_or_partition_is_refused(dataset: str, partition: str | None, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        plan(dataset=dataset, partition=partition)


def test_plan_of_a_missing_object_names_it() -> None:
    with pytest.raises(MissingObjectError, match=r"expected s3://.*/2021/04/events.csv"):
        plan(dataset="events", partition="2021-04")


def test_plan_of_an_object_without_a_header_shows_no_row() -> None:
    put(ROW % (b"2021-04-01", b"Palau"), KEY)
    [planned] = plan(dataset="events", partition="2021-04").objects
    assert "8 texts (hidden)" in str(planned.error)
    assert "acme" not in text_of("plan-events")
