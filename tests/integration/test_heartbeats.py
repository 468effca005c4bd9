"""Heartbeats: a flow that is called in this process sends none; the run of a deployment sends them."""

import importlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import Flow, flow
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

from tasks import flow_runs
from tasks.run_summary import Ended, with_summary

FLOWS = sorted(path.stem for path in (Path(__file__).parents[2] / "flows").glob("[a-z]*.py"))
EVERY = 30
Seen = tuple[int | None, int]

before: list[set[threading.Thread]] = []


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own() -> Iterator[None]:
    """The other tests switch heartbeats off."""
    before[:] = [set(threading.enumerate())]
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: EVERY}):
        yield


def beats() -> Seen:
    """The interval of this run's heartbeats, and how many threads send heartbeats."""
    threads = set(threading.enumerate()) - before[0]
    return get_current_settings().flows.heartbeat_frequency, sum("(run)" in thread.name for thread in threads)


@flow_runs.flow(name="inner", flow_run_name="inner")
@with_summary
def inner() -> Ended[Seen]:
    return Ended(beats(), "")


@flow_runs.flow(name="outer", flow_run_name="outer")
@with_summary
def outer() -> Ended[tuple[Seen, Seen]]:
    return Ended((beats(), inner()), "")


@flow
def of_prefect() -> tuple[Seen, Seen]:
    return beats(), inner()


NONE, SOME = (None, 0), (EVERY, 1)
INSIDE = (None, 1)
"""An inner flow sends none; its parent does."""


@pytest.mark.usefixtures("prefect_server")
def test_called_flow_and_its_inner_flow_send_no_heartbeats() -> None:
    assert outer() == (NONE, NONE)
    assert outer.with_options(retries=1)() == (NONE, NONE)
    assert get_current_settings().flows.heartbeat_frequency == EVERY


@pytest.mark.usefixtures("prefect_server")
def test_flow_that_the_engine_of_a_deployment_runs_sends_heartbeats_and_its_inner_flow_none() -> None:
    assert run_flow(outer) == (SOME, INSIDE)
    assert of_prefect() == (SOME, INSIDE)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_of_the_project_are_made_by_the_decorator(name: str) -> None:
    found = getattr(importlib.import_module(f"flows.{name}"), name)
    assert isinstance(found, Flow)
    assert type(found) is type(inner)
