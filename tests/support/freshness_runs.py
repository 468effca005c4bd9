"""Runs of the flow `freshness` at a chosen moment."""

from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

import flows.freshness
from flows.freshness import freshness

DUE = datetime(2021, 5, 2, 10, tzinfo=UTC)
"""Deadline of 2021-04."""


def run_freshness(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> State[Any]:
    monkeypatch.setattr(flows.freshness, "scheduled_moment", lambda: moment)
    state: State[Any] = freshness(return_state=True)
    return state


def newest_report() -> str:
    with get_client(sync_client=True) as api:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["freshness"]))
        found = api.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
        return str(found[0].data)
