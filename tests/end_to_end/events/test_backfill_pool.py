"""Test a backfill on the Docker work pool: its container starts a container for each month to load."""

import re
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from end_to_end.docker_pool import docker, start_run, wait_for, wait_for_state
from end_to_end.events.loaded_month import assert_loaded_once
from events_oracle import EventsFile
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

from deployments.samples.events import object_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def test_backfill_runs_each_month_in_a_container_and_continues_after_a_failed_month(
    month: tuple[str, EventsFile], database: str, bucket: str, lake_administrator: "S3Client"
) -> None:
    name, expected = month
    lake_administrator.put_object(Bucket=bucket, Key=object_key("", "2021-01"), Body=b"id,nonsense\n1,2\n")
    run = start_run("backfill/backfill", pipeline="events-monthly", start="2021-01", end="2021-03")
    wait_for_state(run, "Completed", "Failed", "Crashed")
    assert_loaded_once(database, expected)
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(run)).state
        of_backfill = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[UUID(run)]))
        children = client.read_flow_runs(flow_run_filter=of_backfill)
    assert state
    assert state.name == "Failed"
    assert re.search(r"1 of 2 partitions of events-monthly failed.*\n +2021-01: Failed: .*missing", state.message or "")
    assert {child.parameters["month"]: child.state_name for child in children} == {
        "2021-01": "Failed",
        name: "Completed",
    }
    assert all(child.deployment_id and (child.infrastructure_pid or "") for child in children)
    label = ("--filter", "label=io.prefect.deployment-name=backfill")
    wait_for("the end of its container", lambda: not docker("ps", "--all", "--quiet", *label), 60)
