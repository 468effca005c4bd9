from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def closed_last() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("turn", [1, 2])
def test_database_is_empty_even_if_an_earlier_test_left_tables(
    closed_last: ExitStack, database: str, turn: int
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for schema in ("public", "ledger"):
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(psycopg.sql.Identifier(schema)))
            connection.execute(psycopg.sql.SQL("CREATE TABLE {}.left_over ()").format(psycopg.sql.Identifier(schema)))
    # This session outlives the test and holds a lock on a table that the next test's fixture must drop.
    forgotten = psycopg.connect(database)
    closed_last.callback(forgotten.close)
    forgotten.execute("LOCK TABLE ledger.left_over")


@pytest.mark.parametrize("turn", [1, 2])
def test_bucket_is_empty_even_if_an_earlier_test_left_objects(
    bucket: str, lake_administrator: "S3Client", turn: int
) -> None:
    assert "Contents" not in lake_administrator.list_objects_v2(Bucket=bucket)
    lake_administrator.put_object(Bucket=bucket, Key="left/over", Body=b"")
