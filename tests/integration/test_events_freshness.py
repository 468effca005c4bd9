"""The flow `freshness` names `events` if its month is late."""

from datetime import timedelta

import pytest
from freshness_runs import DUE, newest_report, run_freshness
from sample_dataset import put

from flows.events_monthly import events_monthly

pytestmark = pytest.mark.usefixtures("database", "bucket")

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_fails_in_the_state_stale_and_names_the_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = run_freshness(monkeypatch, DUE)
    assert fresh.is_completed()
    assert fresh.message is not None
    assert "no data yet" in fresh.message
    put(
        b"id,timestamp,email,country,ip,uri,action,tags\n"
        b"5f9c8c5e-0000-4000-8000-000000000001,2021-03-01,a@example.org,DE,192.0.2.1,/,view,[]\n",
        "2021/03/events.csv",
    )
    events_monthly("2021-03")
    assert run_freshness(monkeypatch, DUE - SECOND).is_completed()
    stale = run_freshness(monkeypatch, DUE + HOUR)
    assert (stale.is_failed(), stale.name) == (True, "Stale")
    assert stale.message is not None
    assert "stale: events" in stale.message
    assert "events 2021-04: expected by 2021-05-02 10:00 UTC, late by 1 h 0 min" in stale.message
    assert "Next: Ask the supplier. After the delivery, run events-monthly for 2021-04." in stale.message
    assert "stale: events" in newest_report()
