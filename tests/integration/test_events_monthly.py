"""`events-monthly` from the lake to the exports, held against the oracle."""

import boto3
import psycopg
import pytest
from events_oracle import read_events, top

from deployments.sample_events import events_csv, object_key
from flows.events_monthly import events_monthly


def put(bucket: str, key: str, data: bytes) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=data)


@pytest.mark.usefixtures("prefect_server")
def test_a_month_is_loaded_and_counted_as_the_oracle_says(database: str, bucket: str) -> None:
    data = b"".join(events_csv("2021-04", 3000, bad_rows=8))
    put(bucket, object_key("", "2021-04"), data)
    expected = read_events(data)
    (load,) = events_monthly(month="2021-04")
    assert (load.rows_read, load.rows_loaded, load.rows_rejected) == (expected.rows_read, expected.rows_loaded, 8)
    with psycopg.connect(database) as connection:
        rows = connection.execute("select line_number, column_name, raw from ledger.rejected_rows order by 1").fetchall()
        assert rows == [(r.line_number, r.column, r.raw) for r in expected.rejected]
        for group, column in {"country": "country", "user": "email", "company": "company", "date": "event_date", "tag": "tag"}.items():
            found = connection.execute(f"select {column}::text, event_count from events_marts.event_counts_by_{group}").fetchall()
            assert sorted(found) == sorted(expected.counts(group).items()), group
