"""A backfill of events on a process pool with two workers."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from deployments import register
from deployments.local import prefect_services
from deployments.samples.events import events_csv, object_key
from flows.backfill import backfill

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

QUICK = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}

# On a busy machine, Prefect needs a minute to deploy all flows.
pytestmark = [pytest.mark.xdist_group("work_pools"), pytest.mark.timeout(900)]


def taken(log: str) -> set[str]:
    """The runs that a worker submitted. The server aborts the submission of a run that the other worker has taken."""
    submitted, aborted = (
        re.findall(rf"{verb} flow run '([0-9a-f-]+)'", log) for verb in ("submitting", "Aborted submission of")
    )
    return set(submitted) - set(aborted)


def test_backfill_on_a_process_pool_is_shared_by_two_workers(
    deployments_server: str, database: str, bucket: str, lake_administrator: "S3Client", tmp_path: Path
) -> None:
    register.register("process", os.environ)
    register.deploy("process", os.environ, ["events-monthly"])
    months = [f"2021-{number:02d}" for number in range(1, 3)]
    for month in months:
        data = b"".join(events_csv(month, 500, bad_rows=1))
        lake_administrator.put_object(Bucket=bucket, Key=object_key("", month), Body=data)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    with (
        prefect_services.worker(
            "tally-process", "process", environment=os.environ | QUICK, log=logs[0], name="one", limit=1
        ),
        prefect_services.worker(
            "tally-process", "process", environment=os.environ | QUICK, log=logs[1], name="two", limit=1
        ),
    ):
        left = backfill("events-monthly", months[0], months[-1])
    assert left.due == []
    for log, name in zip(logs, ("one", "two"), strict=True):
        assert f"Worker '{name}' stopped!" in log.read_text()  # else it ignored SIGTERM and was killed
    with psycopg.connect(database) as connection:
        loads = connection.execute(
            "SELECT partition, rows_read, rows_loaded + rows_rejected, flow_run_id FROM ledger.loads ORDER BY 1"
        ).fetchall()
    assert [(partition, read, accounted) for partition, read, accounted, _ in loads] == [(m, 500, 500) for m in months]
    runs = [taken(log.read_text()) for log in logs]
    assert not runs[0] & runs[1]
    of_loads = {str(run) for _, _, _, run in loads}
    assert len(of_loads) == len(months)
    assert of_loads <= runs[0] | runs[1]
    assert all(of_loads & submitted for submitted in runs)
