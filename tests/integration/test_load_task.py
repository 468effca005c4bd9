"""The load task: its retries and their starting point."""

from typing import Any

import psycopg
import pytest
from prefect import flow
from sample_dataset import HEADER, THINGS, client

from tasks.engine.lake.client import Lake
from tasks.engine.receipts import LoadReceipt
from tasks.extract import list_objects
from tasks.load import load_object
from tasks.transform import build_schemas

ROW = b"a,2021-04-01\n"


@pytest.mark.usefixtures("prefect_server", "database")
def test_object_replaced_between_listing_and_loading_is_loaded_in_its_new_version(bucket: str, database: str) -> None:
    s3 = client()
    s3.put_object(Bucket=bucket, Key="2021/04/things.csv", Body=HEADER + ROW)

    @flow
    def replaced_in_between() -> LoadReceipt:
        build_schemas([THINGS], [])
        (source,) = list_objects(THINGS, "2021-04")
        s3.put_object(Bucket=bucket, Key="2021/04/things.csv", Body=HEADER + ROW + ROW)
        return load_object(THINGS, source)

    assert replaced_in_between().rows_loaded == 2


@pytest.mark.usefixtures("prefect_server", "database")
def test_retry_loads_an_object_that_was_replaced_during_the_read(
    bucket: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = client()
    s3.put_object(Bucket=bucket, Key="2021/04/things.csv", Body=HEADER + ROW)
    tries = []
    opened = Lake.open

    def replaced_at_the_first_try(*arguments: Any, **named: Any) -> object:
        tries.append(arguments)
        if len(tries) == 1:
            s3.put_object(Bucket=bucket, Key="2021/04/things.csv", Body=HEADER + 3 * ROW)
        return opened(*arguments, **named)

    monkeypatch.setattr(Lake, "open", replaced_at_the_first_try)
    quick = load_object.with_options(retry_delay_seconds=0.01)

    @flow
    def replaced_in_mid_read() -> LoadReceipt:
        build_schemas([THINGS], [])
        (source,) = list_objects(THINGS, "2021-04")
        return quick(THINGS, source)

    assert replaced_in_mid_read().rows_loaded == 3
    assert len(tries) == 2
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM things_staging.things").fetchone() == (3,)
