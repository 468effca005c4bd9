"""Concurrent runs in several processes: each object is loaded once, and no run waits for ever."""

import pytest
from faults.aftermath import left_behind, ranked_state
from faults.conftest import CHUNK_BYTES, Replacement
from faults.processes import Job, drivers
from sample_dataset import HEADER, names, put, state

from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

SETTINGS = {"tasks.engine.formats.csv_reader:CHUNK_BYTES": CHUNK_BYTES}


def load_at_once(keys: dict[str, str]) -> list[str]:
    """Load each object in its own process and month; return the statuses."""
    jobs = [Job("load", {"key": key, "partition": partition}, settings=SETTINGS) for key, partition in keys.items()]
    with drivers(*jobs) as started:
        for driver in started:
            driver.go()
        return [status for driver in started for status in driver.statuses()]


def test_two_runs_of_one_month_replace_it_once(postgres: Connection, replacement: Replacement) -> None:
    job = Job("load", {"key": "2021/04/things.csv", "partition": "2021-04"}, settings=SETTINGS)
    with replacement.watching() as seen, drivers(job, job) as (first, second):
        first.go()
        second.go()
        assert sorted(first.statuses() + second.statuses()) == ["replaced", "unchanged"]
    assert left_behind(postgres) == {}
    assert ranked_state(postgres) == replacement.after
    assert seen == replacement.views


def test_ten_runs_of_ten_new_months_load_each_once(postgres: Connection) -> None:
    months = [f"2021-{number:02d}" for number in range(1, 11)]
    for month in months:
        put(HEADER + b"".join(b"%s %d,\n" % (month.encode(), number) for number in range(500)), f"{month}.csv", month)
    assert load_at_once({f"{month}.csv": month for month in months}) == ["loaded"] * 10
    assert left_behind(postgres) == {}
    for month in months:
        assert names(postgres, month) == sorted(f"{month} {number}" for number in range(500))
    assert sorted((row[1], row[5], row[7]) for row in state(postgres)["loads"]) == [(m, "loaded", 500) for m in months]
