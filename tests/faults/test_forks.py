"""The processes that tests kill: each is a process of its own with the test's environment."""

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from forks import Fork, read_prefect_settings
from prefect.settings import get_current_settings

IDLE_THREADS = ("jemalloc_bg_thd", "polars-ooc-clea")
"""Names of the threads that polars starts when it is imported. jemalloc knows forks, and the other waits for files."""


@pytest.fixture
def started() -> Iterator[list[Fork]]:
    forks: list[Fork] = []
    yield forks
    for fork in forks:
        fork.kill()


def describe(pipe: Connection, *modules: str) -> None:
    read_prefect_settings()
    threads = [path.read_text().strip() for path in Path(f"/proc/{os.getppid()}/task").glob("*/comm")]
    imported = [name for name in modules if name in sys.modules]
    pipe.send((os.getpid(), threads, imported, str(get_current_settings().api.url), dict(os.environ)))


def count(pipe: Connection, rows: int) -> None:
    frame = pl.DataFrame({"number": range(rows)}).lazy()
    pipe.send(frame.group_by(pl.col("number") % 7).agg(pl.len()).collect().height)


def fail(_pipe: Connection, text: str) -> None:
    raise ValueError(text)


def die(_pipe: Connection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end(_pipe: Connection) -> None: ...


def test_fork_has_the_imports_and_the_environment_of_the_test(
    started: list[Fork], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = ["sample_dataset", "polars", "prefect", "flows.backfill"]
    seen: list[Any] = []
    for url in ("http://127.0.0.1:1/api", "http://127.0.0.1:2/api"):
        monkeypatch.setenv("PREFECT_API_URL", url)
        started.append(Fork(describe, *modules))
        process, threads, imported, api_url, environ = started[-1].receive()
        assert imported == modules
        assert api_url == url
        assert environ == dict(os.environ)
        seen.append(process)
    assert len({*seen, os.getpid()}) == 3
    # A fork has only the thread that forks. A lock of another thread would stay locked in it.
    assert len([name for name in threads if not name.startswith(IDLE_THREADS)]) == 1, threads


def test_fork_computes_in_threads_of_its_own(started: list[Fork]) -> None:
    started.append(Fork(count, 100_000))
    assert started[0].receive() == 7


def test_error_of_a_fork_is_the_error_of_the_test(started: list[Fork]) -> None:
    started.append(Fork(fail, "the reason"))
    with pytest.raises(AssertionError, match="the reason"):
        started[0].wait_until_dead()


def test_fork_that_ends_is_not_taken_for_a_killed_one(started: list[Fork]) -> None:
    started.append(Fork(end))
    with pytest.raises(AssertionError, match="never came to the step"):
        started[0].wait_until_dead()


def test_fork_that_dies_is_not_taken_for_one_that_answers(started: list[Fork]) -> None:
    started.append(Fork(die))
    with pytest.raises(AssertionError, match="ended with -9"):
        started[0].receive()
    started[0].wait_until_dead()
