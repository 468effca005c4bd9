"""Objects with hostile bytes, as the people who read the run's state see them: on a Prefect server with Postgres."""

import gzip
import io
import zipfile
from typing import Any

import prefect
import pytest
from prefect import State
from prefect.client.schemas.objects import TaskRun
from prefect_session import recorded_task_runs, run_of
from sample_dataset import put

from flows.backfill import backfill
from tasks.engine.errors import BackfillError
from tasks.engine.quoting import MESSAGE_LIMIT
from tasks.policy import step

HEADER = "id,timestamp,email,country,ip,uri,action,tags\n"
GOOD = HEADER + (
    "4c2b7c2e-24ba-4d5e-8b35-5a0b0a1b2c3d,2031-04-03T10:00:00.123456+00:00,a@b.com,Peru,10.0.0.1,http://x.y/,read,a b\n"
)


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("events.csv", text)
    return buffer.getvalue()


HOSTILE = {
    "gzip": gzip.compress(GOOD.encode()),
    "utf-16": GOOD.encode("utf-16"),
    "zip": zipped(GOOD),
    "nul": GOOD.replace("uri", "u\0ri", 1).encode(),
    "returns": GOOD.replace("\n", "\r").encode() * 4_000,
    "bidi": GOOD.replace("uri", "u\u202eri\x1b[31m", 1).encode(),
    "many columns": (",".join(f"c{n}\0" for n in range(10_000)) + "\n").encode(),
}


def task_runs_of(state: State[Any]) -> dict[str, TaskRun]:
    """The task runs of the flow run that ended in a state by their names, as the server holds them."""
    with prefect.get_client(sync_client=True) as client:
        return {run.name: run for run in recorded_task_runs(client, run_of(client, state).id)}


@pytest.mark.usefixtures("prefect_logs", "database", "bucket")
def test_run_of_a_hostile_object_fails_with_a_readable_reason_and_a_backfill_continues() -> None:
    months = {name: f"2031-{number:02}" for number, name in enumerate(HOSTILE, 1)}
    for name, month in months.items():
        put(HOSTILE[name], f"{month.replace('-', '/')}/events.csv")
    put(GOOD.encode(), "2031/12/events.csv")
    state: State[Any] = backfill("events-monthly", "2031-01", "2031-12", return_state=True)
    with pytest.raises(BackfillError) as caught:
        state.result()
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    runs = task_runs_of(state)
    for name, month in months.items():
        run = runs[f"Load events {month}"]
        assert run.state is not None
        assert (name, run.state.name) == (name, "Failed")
        message = run.state.message or ""
        assert all(line.isprintable() for line in message.split("\n")), name
        assert len(message) < MESSAGE_LIMIT + 200
        assert f"{month.replace('-', '/')}/events.csv" in message, name
        assert f"{month}: Failed" in str(caught.value)
    good = runs["Load events 2031-12"].state
    assert good is not None
    assert good.name == "Completed"


@pytest.mark.usefixtures("prefect_logs")
@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 9_000_000])
def test_unexpected_error_with_any_text_fails_its_run_with_a_readable_reason(text: str) -> None:
    @step(task_run_name="read_text {text}")
    def read_text(text: str) -> None:
        prefect.get_run_logger().info("Read %s", text)
        raise ValueError(text)

    @prefect.flow(name="hostile-text")
    def hostile() -> None:
        future = read_text.submit(text)
        future.wait()
        with pytest.raises(Exception, match="read_text failed unexpectedly: ValueError"):
            future.result()

    state: State[Any] = hostile(return_state=True)
    with prefect.get_client(sync_client=True) as client:
        run = run_of(client, state)
        (task_run,) = recorded_task_runs(client, run.id)
    assert task_run.name.isprintable()
    assert run.state is not None
    assert run.state.name == "Completed"
