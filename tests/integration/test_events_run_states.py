"""The last state of a run: its name and its message, as the Prefect server shows them."""

from typing import Any

import prefect
import pytest
from prefect import State
from prefect_session import run_of
from runs_here import run_here
from sample_dataset import put

from flows.backfill import backfill
from flows.events_insights import events_insights
from flows.events_monthly import events_monthly
from flows.events_profile import events_profile
from flows.plan import plan
from flows.replay_rejected import replay_rejected
from flows.reset import reset
from tasks.engine.errors import MissingObjectError
from tasks.run_summary import Ended, with_summary

pytestmark = pytest.mark.usefixtures("prefect_server", "database", "bucket")

KEY = "2021/04/events.csv"
HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
ROW = b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,%b,a@acme.com,Palau,192.0.2.59,index,visit,\"['Mr']\"\n"
APRIL = HEADER + ROW % b"2021-04-01" + ROW % b"2021-04-02" + ROW % b"never"


def last_state(flow: Any, **parameters: object) -> State[Any]:
    """Run a flow in this process, and return the state that the server has of the run."""
    ended = flow(**parameters, return_state=True)
    with prefect.get_client(sync_client=True) as server:
        state = run_of(server, ended).state
    assert state is not None
    return state


def ending_of(flow: Any, **parameters: object) -> tuple[str | None, str | None]:
    state = last_state(flow, **parameters)
    return state.name, state.message


def test_run_of_a_month_reports_its_result_and_a_second_run_is_unchanged() -> None:
    put(APRIL, KEY)
    done = "3 read, 2 loaded, 1 rejected; 5 tables built, 5 exported"
    assert ending_of(events_monthly, month="2021-04") == ("Completed", done)
    again = last_state(events_monthly, month="2021-04")
    assert (again.name, again.is_completed()) == ("Unchanged", True)
    assert again.message == "1 object already loaded; 5 tables and 5 exports up to date"
    assert events_monthly(month="2021-04")[0].status == "unchanged"


def test_failed_run_has_the_message_of_its_error_and_raises_it_for_the_caller() -> None:
    state = last_state(events_monthly, month="2021-04")
    assert state.name == "Failed"
    assert (state.message or "").startswith("no object for 2021-04: expected s3://")
    with pytest.raises(MissingObjectError, match="no object for 2021-04"):
        events_monthly(month="2021-04")


def test_error_of_unknown_origin_states_its_type() -> None:
    @prefect.flow(name="unexpected")
    @with_summary
    def unexpected() -> Ended[None]:
        raise KeyError("month")

    assert ending_of(unexpected) == ("Failed", "KeyError: 'month'")


def test_backfill_reports_the_results_of_its_runs() -> None:
    assert ending_of(backfill, pipeline="events-monthly")[0] == "Skipped"
    put(APRIL, KEY)
    assert ending_of(backfill, pipeline="events-monthly", dry_run=True) == (
        "Completed",
        "dry run: 1 of 1 partition due; nothing was written",
    )
    assert ending_of(backfill, pipeline="events-monthly") == ("Completed", "1 partition run: 1 Completed")
    assert ending_of(backfill, pipeline="events-monthly") == ("Unchanged", "nothing was due: 1 unchanged")
    put(APRIL, "2021/06/events.csv")
    forced = ending_of(backfill, pipeline="events-monthly", end="2021-06")
    assert forced == ("Completed", "1 partition run: 1 Completed; 1 unchanged; 1 missing")


def test_operations_report_their_results() -> None:
    assert ending_of(reset, dataset="events")[0] == "Skipped"
    put(APRIL, KEY)
    name, message = ending_of(plan, dataset="events", partition="2021-04")
    assert name == "Completed"
    assert (message or "").startswith("1 object: would be loaded; ")
    run_here(events_monthly, month="2021-04")
    assert ending_of(plan, dataset="events", partition="2021-04")[1] == "1 object: already loaded: would be skipped"
    assert ending_of(replay_rejected, dataset="events") == ("Unchanged", "0 rejected rows loaded, 1 rejected again")
    insights = ending_of(events_insights, since="2021-04")
    assert insights == ("Completed", "Events from 2021-04 to the last month: 4 questions answered, 4 exported")
    rows = "2 rows of events 2021-04 from events_staging.events"
    assert ending_of(reset, dataset="events", partition="2021-04") == (
        "Completed",
        f"dry run: would remove {rows}; nothing was removed",
    )
    assert ending_of(reset, dataset="events", partition="2021-04", dry_run=False) == (
        "Completed",
        f"removed {rows}; a backfill now builds its tables again",
    )
    assert ending_of(reset, dataset="events", partition="2021-04")[0] == "Skipped"
    name, message = ending_of(reset, dataset="events")
    assert (name, (message or "").startswith("dry run: would remove ")) == ("Completed", True)
    name, message = ending_of(reset, dataset="events", dry_run=False)
    assert (name, (message or "").startswith("removed ")) == ("Completed", True)


def test_replay_without_rejected_rows_is_skipped() -> None:
    put(HEADER + ROW % b"2021-04-01", KEY)
    run_here(events_monthly, month="2021-04")
    assert ending_of(replay_rejected, dataset="events")[0] == "Skipped"


def test_profile_says_what_a_load_would_reject(bucket: str) -> None:
    put(APRIL, KEY)
    ending = ending_of(events_profile, source=f"s3://{bucket}/2021/04/events.csv")
    assert ending == ("Completed", "3 read, 1 would be rejected; 4 answers")


def test_function_of_a_flow_returns_its_result_outside_of_a_run() -> None:
    @with_summary
    def alone() -> Ended[int]:
        return Ended(1, "did 1")

    assert alone() == 1
