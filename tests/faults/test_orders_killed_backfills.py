"""kill -9 in the middle of a backfill of days: the next backfill runs only unfinished days and doubles no row."""

from datetime import date, timedelta

import orders_oracle
import psycopg
import pytest
from faults.killed_backfills import run_until_death
from faults.processes import Death
from sample_dataset import client

from deployments.samples.orders import sample_orders
from flows.backfill import backfill

FIRST = date(2021, 4, 1)
LAST = FIRST + timedelta(3)
pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("prefect_server", "database", "bucket")]


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
        keys = {"orders_table": "1", "order_details": "2, 3", "user_months": "1, 2", "users_table": "1"}
        for table, key in keys.items():
            assert warehouse.execute(f"SELECT * FROM orders_core.{table} ORDER BY {key}").fetchall() == wanted[table]
    listed = client().list_objects_v2(Bucket=bucket, Prefix="Output/")["Contents"]
    assert [item["Key"] for item in listed] == sorted(
        [f"Output/{day}.csv" for day in days] + [f"Output/{FIRST}_{LAST}.csv"]
    )
