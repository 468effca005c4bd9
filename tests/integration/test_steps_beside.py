"""A step that runs beside other work."""

import threading
from typing import Any

import pytest
from prefect import flow

from tasks.engine.errors import BalanceError
from tasks.policy import step
from tasks.side_by_side import beside

pytestmark = pytest.mark.usefixtures("prefect_server")


@step(task_run_name="Meet")
def meet(meeting: list[threading.Barrier], threads: list[int]) -> None:
    """Wait until the other side arrives."""
    threads.append(threading.get_ident())
    for barrier in meeting:
        barrier.wait(timeout=30)


@step(task_run_name="Refuse")
def refuse(reason: str) -> None:
    """Fail."""
    raise BalanceError(reason)


def run(work: Any) -> None:
    flow(work, name="beside")()


def test_step_and_body_run_at_the_same_time() -> None:
    meeting, threads = threading.Barrier(2), list[int]()

    def work() -> None:
        with beside(meet, meeting=[meeting], threads=threads):
            meeting.wait(timeout=30)

    run(work)
    assert threads != [threading.get_ident()]


def test_error_of_the_step_is_raised_after_the_body() -> None:
    ended = list[str]()

    def work() -> None:
        with beside(refuse, reason="the step"):
            ended.append("body")

    with pytest.raises(BalanceError, match="the step"):
        run(work)
    assert ended == ["body"]


def test_error_of_the_body_is_raised_after_the_end_of_the_step() -> None:
    threads = list[int]()

    def work() -> None:
        with beside(meet, meeting=[], threads=threads):
            raise BalanceError("the body")

    with pytest.raises(BalanceError, match="the body"):
        run(work)
    assert len(threads) == 1


def test_error_of_the_body_counts_if_both_fail() -> None:
    def work() -> None:
        with beside(refuse, reason="the step"):
            raise BalanceError("the body")

    with pytest.raises(BalanceError, match="the body"):
        run(work)


def test_step_runs_before_the_body_outside_a_flow() -> None:
    threads = list[int]()
    with beside(meet, meeting=[], threads=threads):
        assert threads == [threading.get_ident()]
