"""kill -9 in the middle of a backfill: the next backfill runs only unfinished partitions, and doubles no row."""

import os
import subprocess
import sys
from datetime import date, timedelta

import orders_oracle
import psycopg
import pytest
from faults.processes import Death
from sample_dataset import client

from deployments.samples.orders import sample_orders
from flows.backfill import backfill

EVENTS = b"id,timestamp,email,country,ip,uri,action,tags\n"
FIRST = date(2021, 4, 1)
LAST = FIRST + timedelta(3)
RUN = """
from faults.driver import die_at
die_at(path={path!r}, when={when!r}, count={count}, containing="")
from flows.backfill import backfill
backfill(pipeline={pipeline!r}, start={start!r}, end={end!r})
"""
"""Runs in a process that dies at a step of its second partition."""

pytestmark = pytest.mark.usefixtures("prefect_server", "database", "bucket")


def run_until_death(pipeline: str, start: str, end: str, death: Death) -> None:
    code = RUN.format(path=death.path, when=death.when, count=death.count, pipeline=pipeline, start=start, end=end)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -9, f"it never came to the step: {done.stderr}"


def test_months_are_complete_when_a_killed_backfill_is_started_again(database: str, bucket: str) -> None:
    months = ["2021-01", "2021-02", "2021-03"]
    for month in months:
        content = EVENTS + b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d,%b-05,a@acme.com,Palau,192.0.2.59,index,visit,[]\n"
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


def test_orders_are_complete_when_a_killed_backfill_is_started_again(database: str, bucket: str) -> None:
    sample = sample_orders(FIRST, days=4, orders=8)
    for day, content in sample.files.items():
        client().put_object(Bucket=bucket, Key=f"Input/{day}.json", Body=content)
    days = [f"{day}" for day in sample.files]
    # The second day is loaded and built, but its file is not written.
    death = Death("tasks.orders.order_files:write_file", "before", count=2)
    run_until_death("orders-daily", f"{FIRST}", f"{LAST}", death)
    with psycopg.connect(database, autocommit=True) as warehouse:
        finished = "SELECT partition FROM ledger.finished_partitions ORDER BY 1"
        assert warehouse.execute(finished).fetchall() == [(days[0],)]
        left = backfill(pipeline="orders-daily", start=f"{FIRST}", end=f"{LAST}")
        assert (left.of("unchanged"), left.of("missing")) == (days, [f"{FIRST + timedelta(2)}"])
        assert warehouse.execute(finished).fetchall() == [(day,) for day in days]
        loads = warehouse.execute("SELECT partition, status FROM ledger.loads ORDER BY 1").fetchall()
        assert loads == [(day, "loaded") for day in days]
        warehouse.execute("SET timezone = 'UTC'")
        wanted = orders_oracle.tables(orders_oracle.versions_of(sample.files))
        for table, key in (("orders_table", "1"), ("order_details", "transaction_id, position"), ("users_table", "1")):
            assert warehouse.execute(f"SELECT * FROM orders_core.{table} ORDER BY {key}").fetchall() == wanted[table]
    listed = client().list_objects_v2(Bucket=bucket, Prefix="Output/")["Contents"]
    assert [item["Key"] for item in listed] == sorted(
        [f"Output/{day}.csv" for day in days] + [f"Output/{FIRST}_{LAST}.csv"]
    )
