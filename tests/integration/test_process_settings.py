"""Settings that a process reads once: the retries of its steps, and the format of its log lines."""

import json
import subprocess
import sys

import pytest
from prefect import flow

from tasks.engine.errors import LakeUnavailableError
from tasks.policy import step

RUN = """
from prefect import flow, get_run_logger
from tasks.policy import step
from tasks.run_summary import Ended, with_summary

@step(task_run_name="read a line")
def read_line():
    get_run_logger().warning("a :smile: line with\\ntwo lines")

@flow(name="json-lines")
@with_summary
def lines(is_failed: bool) -> Ended[None]:
    read_line()
    if is_failed:
        raise ValueError("the reason")
    return Ended(None, "read 1 line")

lines(False)
lines(True, return_state=True)
"""


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("retries", "tries"), [("0", 1), ("2", 3)])
def test_steps_are_retried_as_often_as_the_setting_says(
    retries: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_COUNT", retries)
    monkeypatch.setenv("RETRY_DELAYS", "0")
    made = []

    @step(task_run_name="read nothing")
    def read_nothing() -> None:
        made.append(1)
        raise LakeUnavailableError("no answer")

    @flow
    def reading() -> None:
        read_nothing()

    with pytest.raises(LakeUnavailableError):
        reading()
    assert len(made) == tries


def test_delays_between_tries_come_from_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_DELAYS", "1, 60")

    @step(task_run_name="read nothing")
    def read_nothing() -> None: ...

    assert read_nothing.retry_delay_seconds == [1, 60]


@pytest.mark.usefixtures("prefect_server")
def test_each_log_line_of_a_run_is_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    ended = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    messages = {record["msg"] for record in records}
    assert "a :smile: line with\ntwo lines" in messages
    assert any("read 1 line" in message for message in messages)
    assert any("the reason" in json.dumps(record["exc_info"]) for record in records)
    assert {"INFO", "WARNING", "ERROR"} <= {record["levelname"] for record in records}
