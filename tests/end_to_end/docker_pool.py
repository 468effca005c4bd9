"""Functions that the tests of the Docker work pool share: they inspect runs, containers and loaded rows."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg
from events_oracle import EventsFile
from prefect.client.orchestration import get_client

DEPLOYMENT = "events-monthly/events-monthly"
TIMEOUT = 240.0
"""Timeout in seconds for operations that take a few seconds on an idle machine."""

T = TypeVar("T")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)  # noqa: S607
    return done.stdout.strip()


def prefect(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_for(event: str, check: Callable[[], T | None], seconds: float = TIMEOUT) -> T:
    """Repeat `check` until it returns a true value, and return that value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:.0f} s for {event}")


def state_of(run: str) -> tuple[str, int]:
    """Return the name of a run's state and the number of its attempts."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(UUID(run))
    assert found.state
    return found.state.name or "", found.run_count


def assert_loaded_once(database: str, expected: EventsFile) -> None:
    with psycopg.connect(database) as connection:
        loads = connection.execute("select status, rows_read, rows_loaded, rows_rejected from ledger.loads").fetchall()
        assert loads == [("loaded", expected.rows_read, expected.rows_loaded, len(expected.rejected))]
        ids = connection.execute("select id from events_staging.events").fetchall()
        assert sorted(row[0] for row in ids) == sorted(row.id for row in expected.rows)
        rejected = connection.execute("select line_number, column_name from ledger.rejected_rows order by 1").fetchall()
        assert rejected == [(row.line_number, row.column) for row in expected.rejected]
        for group in ("country", "user", "company", "date", "tag"):
            column = {"user": "email", "date": "event_date::text"}.get(group, group)
            mart = connection.execute(f"select {column}, event_count from events_marts.event_counts_by_{group}")
            found: Counter[str] = Counter(dict(mart.fetchall()))
            assert (found - expected.counts(group), expected.counts(group) - found) == (Counter(), Counter()), group
