"""The flow `status` and the command `make status` with a real warehouse, lake and Prefect server."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed
from sample_dataset import HEADER, STRICT, THINGS, client, connection, load, put

from deployments import status as command
from flows.status import status
from tasks.engine.errors import ErrorBudgetError
from tasks.engine.schema import ddl
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.status.facts import read_facts
from tasks.engine.status.summary import Summary
from tasks.engine.warehouse.tables import Connection
from tasks.status import list_schedules

pytestmark = pytest.mark.usefixtures("database", "bucket")

PERSONAL = "bob@example.com"


@pytest.fixture
def postgres(database: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    monkeypatch.setattr(ddl, "all_contracts", lambda: {"things": THINGS})
    with connection() as opened:
        yield opened


@pytest.fixture
def troubled(postgres: Connection) -> Connection:
    """A month with rejected rows, a gap, a month that failed."""
    apply_ddl(postgres, [THINGS], [])
    bad = HEADER + f"{PERSONAL},x\na,\n".encode()
    load(postgres, put(bad, "2021/02/events.csv", "2021-02"))
    load(postgres, put(HEADER + b"a,\n", "2021/04/events.csv", "2021-04"))
    with pytest.raises(ErrorBudgetError):
        load(postgres, put(bad, "2021/04/events.csv", "2021-04"), settings=STRICT)
    return postgres


def page_in_lake() -> str:
    found = client().get_object(Bucket=os.environ["LAKE_BUCKET"], Key="analytics_export/status.html")
    assert found["ContentType"] == "text/html; charset=utf-8"
    return found["Body"].read().decode()


def test_facts_of_an_empty_ledger_are_the_datasets(postgres: Connection) -> None:
    apply_ddl(postgres, [], [])
    facts = read_facts(postgres, None)
    assert ([each.dataset for each in facts.datasets], facts.partitions, facts.due, facts.rejections) == (
        ["things"],
        [],
        [],
        [],
    )
    assert Summary(facts).headline == "Nothing is loaded yet"


def test_facts_name_failures_gaps_and_rejected_rows(troubled: Connection) -> None:
    summary = Summary(read_facts(troubled, None))
    assert [(each.kind, each.subject) for each in summary.problems] == [
        ("failed", "things 2021-04"),
        ("missing", "things"),
        ("rejected", "things"),
    ]
    assert [(each.where, each.example.example_lines) for each in summary.rejections] == [("things 2021-02", [2])]
    assert [each.dataset for each in summary.volumes] == ["things"]


def test_flow_writes_the_page_and_the_artifact_without_personal_data(
    troubled: Connection, deployments_server: str
) -> None:
    del troubled, deployments_server
    facts = status()
    assert len(facts.partitions) == 3
    page = page_in_lake()
    with get_client(sync_client=True) as server:
        (artifact,) = server.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["status"])), limit=1
        )
    for text in (page, str(artifact.data)):
        assert "3 problems need attention" in text
        assert "things" in text
        assert PERSONAL not in text
    status()  # the next run replaces the page
    assert page_in_lake().startswith("<!doctype html>")


def test_command_prints_the_state_and_writes_the_page(
    troubled: Connection, deployments_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del troubled, deployments_server
    assert command.main(["--html", str(tmp_path / "status.html")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("3 problems need attention")
    assert PERSONAL not in printed + (tmp_path / "status.html").read_text(encoding="utf-8")
    assert logging.root.manager.disable == logging.NOTSET, "expected log lines after the command, as before it"


def test_command_says_why_the_state_cannot_be_read(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del prefect_server
    monkeypatch.setenv("WAREHOUSE_DSN", "postgresql://nobody:x@127.0.0.1:1/nothing")
    assert command.main([]) == 1
    assert "The state cannot be read" in capsys.readouterr().err


def test_schedules_have_their_next_and_last_runs(prefect_server: str) -> None:
    del prefect_server
    name = "status-of-schedules"
    deployed = status.to_deployment(name, cron="50 * * * *").apply()
    with get_client(sync_client=True) as server:
        for state in (Completed(), Failed(name="Stale", message="stale: things")):
            run = server.create_flow_run_from_deployment(deployed)
            server.set_flow_run_state(run.id, state, force=True)
        found = {each.name: each for each in list_schedules() or ()}
        server.delete_deployment(deployed)
    schedule = found[f"status/{name}"]
    assert (schedule.last_state, schedule.is_failed, schedule.is_paused) == ("Stale", True, False)
    assert schedule.last_message == "stale: things"


def test_schedules_are_unknown_without_a_server() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert list_schedules() is None


def test_summary_of_a_dataset_that_left_the_catalog(troubled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ddl, "all_contracts", lambda: {"others": replace(THINGS, dataset="others", table="o_staging.o")}
    )
    apply_ddl(troubled, [], [])
    summary = Summary(read_facts(troubled, None))
    assert summary.problems == []
    assert [(each.dataset, summary.state_of(each)[1]) for each in summary.shown_datasets] == [
        ("others", "No data yet"),
        ("things", "Removed"),
    ]
