"""`backfill` of days in this process."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sample_dataset import client

from flows.backfill import PIPELINES, backfill
from tasks.engine.errors import ContractError

pytestmark = pytest.mark.usefixtures("prefect_server", "database", "bucket")


def test_month_is_refused_for_a_pipeline_of_days() -> None:
    with pytest.raises(ContractError, match="expected a day, found 2021-03"):
        backfill(pipeline="orders-daily", start="2021-03", end="2021-04")


def test_pipeline_of_days_is_found() -> None:
    assert "orders-daily" in {pipeline.name for pipeline in PIPELINES}


def test_ten_years_of_days_are_listed_in_pages(bucket: str) -> None:
    keys = [f"Input/{date(2011, 1, 1) + timedelta(3 * number)}.json" for number in range(1_010)]  # two pages
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client().put_object(Bucket=bucket, Key=key, Body=b""), keys))
    planned = backfill(pipeline="orders-daily", start="2011-01-01", end="2020-12-31", dry_run=True)
    assert (len(planned.of("new")), len(planned.of("missing"))) == (1_010, 3_653 - 1_010)
    for some in (keys[:1_000], keys[1_000:]):
        client().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in some]})


def test_range_without_a_file_ends_without_an_export_in_a_new_warehouse(bucket: str) -> None:
    assert [
        one.state for one in backfill(pipeline="orders-daily", start="2021-04-01", end="2021-04-02").partitions
    ] == [
        "missing",
        "missing",
    ]
    assert "Contents" not in client().list_objects_v2(Bucket=bucket)
