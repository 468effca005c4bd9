"""A month of events that runs in a container load."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from end_to_end.docker_pool import docker, wait_for
from events_oracle import EventsFile, read_events
from psycopg.conninfo import conninfo_to_dict

from deployments.blocks import save_blocks
from deployments.samples.events import events_csv, object_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def month(
    worker_log: Path, database: str, bucket: str, lake_administrator: "S3Client"
) -> Iterator[tuple[str, EventsFile]]:
    """A month in the lake and its expected rows from an independent reader. Runs find the services by the blocks."""
    save_blocks(os.environ)
    data = b"".join(events_csv("2021-02", 3_000, bad_rows=7))
    lake_administrator.put_object(Bucket=bucket, Key=object_key("", "2021-02"), Body=data)
    yield "2021-02", read_events(data)
    label = ("--filter", "label=io.prefect.deployment-name=events-monthly")
    wait_for("the end of every container", lambda: not docker("ps", "--all", "--quiet", *label), 60)
    log = worker_log.read_text()
    assert str(conninfo_to_dict(database)["password"]) not in log
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in log
