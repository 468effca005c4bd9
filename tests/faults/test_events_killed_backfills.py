"""kill -9 in the middle of a backfill of months: the next backfill runs only unfinished months and doubles no row."""

import psycopg
import pytest
from faults.killed_backfills import run_until_death
from faults.processes import Death
from sample_dataset import client

from flows.backfill import backfill

HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("prefect_server", "database", "bucket")]


def test_months_are_complete_when_a_killed_backfill_is_started_again(database: str, bucket: str) -> None:
    months = ["2021-01", "2021-02", "2021-03"]
    for month in months:
        content = HEADER + b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,%b-05,a@acme.com,Palau,192.0.2.59,index,visit,[]\n"
        key = f"{month.replace('-', '/')}/events.csv"
        client().put_object(Bucket=bucket, Key=key, Body=content % month.encode())
    # The exports of the second month are written, but not their manifest.
    run_until_death("events-monthly", months[0], months[-1], Death("tasks.engine.ledger:latest_exports", count=2))
    with psycopg.connect(database, autocommit=True) as warehouse:
        finished = "SELECT partition, finished_at FROM ledger.finished_partitions ORDER BY 1"
        (before,) = warehouse.execute(finished).fetchall()
        assert before[0] == months[0]
        left = backfill(pipeline="events-monthly", start=months[0], end=months[-1])
        assert left.of("unchanged") == months
        assert warehouse.execute(finished).fetchall()[0] == before  # the backfill skipped the first month
        assert warehouse.execute("SELECT partition, status FROM ledger.loads ORDER BY 1").fetchall() == [
            (month, "loaded") for month in months
        ]
        counted = warehouse.execute(
            "SELECT month::text, event_count FROM events_marts.event_counts_by_country ORDER BY 1"
        )
        assert counted.fetchall() == [(f"{month}-01", 1) for month in months]
    export = client().get_object(Bucket=bucket, Key="analytics_export/default/event_counts_by_country.csv")
    assert export["Body"].read().decode().splitlines()[1:] == [f"{month}-01,Palau,1" for month in months]
