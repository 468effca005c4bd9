"""The flow `freshness` fails if a dataset or source is late, names it, and says what to do next."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from freshness_runs import DUE
from sample_dataset import HEADER, THINGS, client, lake, load, put, ready_connection

from tasks.contracts import Contract
from tasks.contracts.expectations import Expected
from tasks.engine.backfill.finished_partitions import write_finished
from tasks.engine.errors import ContractError
from tasks.engine.freshness import check_dataset
from tasks.engine.receipts import Freshness
from tasks.engine.warehouse.tables import Connection
from tasks.extract import delivery_of

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

MONTHLY = replace(THINGS, expected=Expected(days=2))
WHOLE = replace(
    THINGS,
    dataset="whole",
    table="things_staging.whole",
    partition=None,
    key=None,
    keys=("whole.csv",),
    expected=Expected(days=1),
)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ROWS = HEADER + b"a,2021-04-01\n"


@pytest.fixture
def warehouse(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket
    with ready_connection(MONTHLY, WHOLE) as opened:
        yield opened


def check(
    warehouse: Connection, moment: datetime, contract: Contract = MONTHLY, pipeline: str | None = None
) -> Freshness:
    return check_dataset(
        warehouse, contract, moment, lambda partition: delivery_of(lake(), contract, partition), pipeline
    )


def put_month(month: str) -> Any:
    return put(ROWS, f"{month.replace('-', '/')}/things.csv", month)


def test_a_partition_that_is_loaded_at_its_deadline_is_fresh(warehouse: Connection) -> None:
    load(warehouse, put_month("2021-04"), contract=MONTHLY)
    found = check(warehouse, DUE)
    assert (found.status, found.partition, found.expected) == ("fresh", "2021-04", "by 2021-05-02 10:00 UTC")
    assert (found.next_step, found.late_by, found.needs_attention) == ("", None, False)


def test_a_partition_is_stale_from_the_moment_of_its_deadline(warehouse: Connection) -> None:
    load(warehouse, put_month("2021-03"), contract=MONTHLY)
    assert check(warehouse, DUE - SECOND).status == "fresh"
    found = check(warehouse, DUE)
    assert (found.status, found.late_by) == ("stale", timedelta())
    assert found.found == "the lake has no object of 2021-04; the newest loaded partition is 2021-03"
    assert found.next_step == "Ask the supplier. After the delivery, load 2021-04"


def test_a_delivered_partition_without_a_load_names_its_object_and_the_last_failure(warehouse: Connection) -> None:
    source = put(b"other,columns\n1,2\n")
    assert "arrived" in check(warehouse, DUE).found  # it was delivered, although nothing was ever loaded
    with pytest.raises(ContractError):
        load(warehouse, source, contract=MONTHLY)
    found = check(warehouse, DUE + HOUR, pipeline="things-monthly")
    assert (found.status, found.late_by) == ("stale", HOUR)
    assert source.uri in found.found
    assert "its load failed" in found.found
    assert "ContractError" in found.found
    assert found.next_step.endswith("then run things-monthly for 2021-04")


def test_a_dataset_without_any_data_is_not_stale(warehouse: Connection) -> None:
    put_month("2019-01")  # old objects are not due any more
    found = check(warehouse, DUE)
    assert (found.status, found.needs_attention, found.gaps) == ("no data yet", False, ())
    assert found.found == "nothing was ever loaded, and the lake has no object of 2021-04"


def test_rows_that_were_lost_are_stale_and_not_new(warehouse: Connection) -> None:
    load(warehouse, put_month("2021-04"), contract=MONTHLY)
    warehouse.execute("UPDATE ledger.loads SET status = 'lost'")
    assert check(warehouse, DUE).status == "stale"


def test_gaps_among_the_last_twelve_partitions_are_named_and_do_not_fail(warehouse: Connection) -> None:
    for month in ("2019-01", "2020-06", "2020-12", "2021-01", "2021-04"):
        load(warehouse, put_month(month), contract=MONTHLY)
    found = check(warehouse, DUE)
    assert found.status == "fresh"
    assert found.gaps == ("2020-04", "2020-05", *(f"2020-{month:02d}" for month in range(7, 12)), "2021-02", "2021-03")


def test_a_loaded_partition_without_its_tables_is_stale_after_half_an_hour(warehouse: Connection) -> None:
    receipt = load(warehouse, put_month("2021-04"), contract=MONTHLY)
    warehouse.execute("UPDATE ledger.loads SET loaded_at = %s", [DUE])
    assert check(warehouse, DUE + timedelta(minutes=30), pipeline="things-monthly").status == "fresh"
    found = check(warehouse, DUE + timedelta(minutes=31), pipeline="things-monthly")
    assert found.status == "stale"
    assert "not built and exported" in found.found
    assert check(warehouse, DUE + DAY).status == "fresh"  # no pipeline would build it
    write_finished(warehouse, "things", "2021-04", [receipt.load_id], ["things_marts"], "digest", None)
    assert check(warehouse, DUE + DAY, pipeline="things-monthly").status == "fresh"


def test_a_dataset_without_partitions_needs_a_new_object_between_two_deadlines(warehouse: Connection) -> None:
    now = datetime.now(UTC)
    contract = replace(WHOLE, expected=Expected(days=1, at=time(now.hour, now.minute)))  # the last deadline is now
    assert check(warehouse, now, contract).status == "no data yet"
    source = replace(put(ROWS, "whole.csv"), partition="")
    assert "is not loaded" in check(warehouse, now, contract).found
    load(warehouse, source, contract=contract)
    assert check(warehouse, now, contract).status == "fresh"
    assert check(warehouse, now + DAY - HOUR, contract).status == "fresh"
    found = check(warehouse, now + 2 * DAY, contract)
    assert (found.status, found.partition) == ("stale", "")
    assert "no object arrived after" in found.found


def test_the_same_content_that_is_delivered_again_is_fresh(warehouse: Connection) -> None:
    source = replace(put(ROWS, "whole.csv"), partition="")
    load(warehouse, source, contract=WHOLE)
    warehouse.execute("UPDATE ledger.loads SET loaded_at = loaded_at - interval '9 days'")
    assert check(warehouse, datetime.now(UTC), WHOLE).status == "fresh"


def test_a_deleted_object_of_a_dataset_without_partitions_is_stale(warehouse: Connection) -> None:
    load(warehouse, replace(put(ROWS, "whole.csv"), partition=""), contract=WHOLE)
    client().delete_object(Bucket=os.environ["LAKE_BUCKET"], Key="whole.csv")
    found = check(warehouse, datetime.now(UTC) + 2 * DAY, WHOLE)
    assert (found.status, found.found.partition(";")[0]) == ("stale", "the lake has no object")


def test_a_delivery_without_its_success_marker_is_stale_and_says_which_marker_is_missing(warehouse: Connection) -> None:
    contract = replace(MONTHLY, success_marker="_SUCCESS")
    put_month("2021-04")
    found = check(warehouse, DUE, contract)
    assert found.status == "stale"
    assert found.found.startswith("the delivery is not complete: s3://")
    assert found.found.endswith("without _SUCCESS")
    assert "When _SUCCESS is there, load 2021-04" in found.next_step
    whole = replace(WHOLE, success_marker="_SUCCESS")
    put(ROWS, "whole.csv")
    assert check(warehouse, DUE, whole).found.endswith("without _SUCCESS")


def test_a_dataset_of_appended_objects_needs_a_new_object_between_two_deadlines(warehouse: Connection) -> None:
    contract = replace(WHOLE, keys=(), key="in-*.csv", delivery="append")
    now = datetime.now(UTC) + HOUR
    assert check(warehouse, now, contract).status == "no data yet"
    first = replace(put(ROWS, "in-1.csv"), partition="")
    load(warehouse, first, contract=contract)
    assert check(warehouse, now, contract).status == "fresh"
    assert "no object arrived after" in check(warehouse, now + 3 * DAY, contract).found
    put(ROWS, "in-0.csv")  # its name sorts first, and it is the newest
    warehouse.execute("UPDATE ledger.loads SET loaded_at = loaded_at - interval '9 days'")
    found = check(warehouse, now + 3 * DAY, contract)
    assert found.status == "stale"


def test_a_partition_with_an_object_that_arrived_in_time_and_is_not_loaded_is_stale(warehouse: Connection) -> None:
    contract = replace(MONTHLY, key="{year:04d}/{month:02d}/*.csv")
    moment = datetime.now(UTC) + 100 * DAY
    partition = check(warehouse, moment, contract).partition
    folder = partition.replace("-", "/")
    load(warehouse, put(ROWS, f"{folder}/00.csv", partition), contract=contract)
    assert check(warehouse, moment, contract).status == "fresh"
    second = put(ROWS, f"{folder}/01.csv", partition)
    found = check(warehouse, moment, contract)
    assert (found.status, found.found.partition(", such as")[0]) == (
        "stale", f"objects of {partition} arrived in time but are not loaded: 1"
    )  # fmt: skip
    load(warehouse, second, contract=contract)
    assert check(warehouse, moment, contract).status == "fresh"


def test_a_correction_after_the_deadline_is_not_stale(warehouse: Connection) -> None:
    load(warehouse, put_month("2021-04"), contract=MONTHLY)
    put(HEADER + b"b,2021-04-01\n", "2021/04/things.csv")
    assert check(warehouse, DUE, MONTHLY).status == "fresh"
