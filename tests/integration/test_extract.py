"""Listing what the lake holds for a partition, against a real S3 server."""

from dataclasses import replace

import pytest
from sample_dataset import THINGS, lake, load, names, put, ready_connection

from tasks.contracts import Contract
from tasks.contracts.settings import Setting
from tasks.engine.errors import ContractError, MissingObjectError
from tasks.extract import objects_of

pytestmark = pytest.mark.usefixtures("bucket")

PREFIX = Setting("THINGS_PREFIX", "raw/", "Prefix")
KEY = Setting("THINGS_KEY", "{year}/{month}/{day}/things.csv", "Template of keys")
DAILY_THINGS = replace(THINGS, prefix=PREFIX, key=KEY)


def keys_of(contract: Contract, month: str) -> list[str]:
    found = objects_of(lake(), contract, month)
    assert all(source.partition == month for source in found)
    return [source.uri.removeprefix(lake().uri("")) for source in found]


def test_month_is_its_one_object_with_version_and_size() -> None:
    put(b"other", "2021/05/things.csv")
    put(b"foreign", "2021/04/things.csv.bak")
    source = put(b"data", "2021/04/things.csv")
    assert objects_of(lake(), THINGS, "2021-04") == [source]


def test_month_of_daily_keys_is_all_its_days_in_order() -> None:
    days = [f"raw/2021/04/{day:02d}/things.csv" for day in (30, 2, 1, 10)]
    for key in [*days, "raw/2021/05/01/things.csv", "raw/2021/04/31/things.csv", "raw/2021/04/01/other.csv",
                "2021/04/01/things.csv", "raw/2021/04/things.csv"]:  # fmt: skip
        put(b"x", key)
    assert keys_of(DAILY_THINGS, "2021-04") == sorted(days)


@pytest.mark.usefixtures("database")
def test_month_of_daily_objects_is_loaded_and_one_day_replaced_alone() -> None:
    def deliver(day: int, text: str) -> None:
        put(f"name,day\n{text},2021-04-{day:02d}\n".encode(), f"raw/2021/04/{day:02d}/things.csv")

    for day in range(1, 31):
        deliver(day, f"d{day:02d}")
    with ready_connection() as postgres:
        for expected in ("loaded", "unchanged"):
            sources = objects_of(lake(), DAILY_THINGS, "2021-04")
            assert [load(postgres, source).status for source in sources] == [expected] * 30
        deliver(7, "corrected")
        sources = objects_of(lake(), DAILY_THINGS, "2021-04")
        statuses = [load(postgres, source).status for source in sources]
        assert statuses == ["unchanged"] * 6 + ["replaced"] + ["unchanged"] * 23
        assert names(postgres) == sorted(["corrected", *(f"d{day:02d}" for day in range(1, 31) if day != 7)])


def test_missing_month_names_the_key_and_the_nearest_months() -> None:
    for month in ("2020/01", "2020/11", "2021/01", "2021/05", "2021/06", "2022/02"):
        put(b"x", f"{month}/things.csv")
    put(b"x", "2021/03/other.csv")
    with pytest.raises(MissingObjectError) as caught:
        objects_of(lake(), THINGS, "2021-03")
    bucket = lake().bucket
    assert str(caught.value) == (
        f"no object for 2021-03: expected s3://{bucket}/2021/03/things.csv, found none in bucket {bucket};"
        " the nearest months there: 2021-01, 2021-05, 2021-06."
        " Run again when the object has been delivered, or choose another month"
    )


def test_missing_month_of_daily_keys_names_each_month_once() -> None:
    for day in range(1, 6):
        put(b"x", f"raw/2021/01/{day:02d}/things.csv")
    with pytest.raises(MissingObjectError, match=r"raw/2021/04/01/things.csv.* nearest months there: 2021-01\. Run"):
        objects_of(lake(), DAILY_THINGS, "2021-04")


def test_missing_month_of_an_empty_bucket_points_at_the_settings() -> None:
    with pytest.raises(MissingObjectError, match="none at all, check the prefix and the key"):
        objects_of(lake(), THINGS, "2021-04")


def test_partition_of_a_dataset_without_any_is_refused() -> None:
    whole = Contract("whole", "s.whole", "whole", THINGS.columns, THINGS.prefix, THINGS.key)
    with pytest.raises(ContractError, match="dataset whole has no partitions: expected no partition, found 2021-04"):
        objects_of(lake(), whole, "2021-04")
