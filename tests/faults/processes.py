"""Loads, exports and builds in separate processes; see `driver`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).with_name("driver.py")
PATIENCE = 120


@dataclass(frozen=True)
class Death:
    """A call at which a process kills itself.

    Attributes:
        path: `module:attribute.attribute`.
        when: `before` or `after` the call.
        count: Number of the call, from 1.
        containing: Text that the printed arguments must contain for the call to count.
    """

    path: str
    when: str = "after"
    count: int = 1
    containing: str = ""


@dataclass(frozen=True)
class Job:
    """The job of a process.

    Attributes:
        work: `load`, `export` or `build`.
        arguments: Arguments of the work.
        die: Call at which the process dies; None to complete.
        settings: Values to set in modules, by `module:attribute`.
    """

    work: str
    arguments: dict[str, Any]
    die: Death | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class Driver:
    """A process that takes a job, then waits for `go`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, DRIVER],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def give(self, job: Job) -> None:
        """The job, with the environment of this process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**asdict(job), "environment": dict(os.environ)}) + "\n")
        self._process.stdin.flush()

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(f"the driver did not connect: {self._process.communicate(timeout=PATIENCE)[1]}")

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None

    def statuses(self) -> list[str]:
        """Wait for a successful end, and return the statuses of the receipts."""
        output, errors = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, errors
        return list(json.loads(output))

    def wait_until_dead(self) -> None:
        _, errors = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == -signal.SIGKILL, f"it never came to the step: {errors}"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)


_spares: list[Driver] = []
"""Processes started early for the next test, because imports take half of such a test's time."""


def end_spares() -> None:
    while _spares:
        _spares.pop().kill()


@contextmanager
def drivers(*jobs: Job) -> Iterator[list[Driver]]:
    """Connected processes; the end of the block kills the remaining ones."""
    started = [_spares.pop() if _spares else Driver() for _ in jobs]
    try:
        for driver, job in zip(started, jobs, strict=True):
            driver.give(job)
        for driver in started:
            driver.wait_until_ready()
        _spares.append(Driver())
        yield started
    finally:
        for driver in started:
            driver.kill()


def run_until_death(job: Job) -> None:
    """Run a job until it dies at the chosen step."""
    with drivers(job) as (driver,):
        driver.go()
        driver.wait_until_dead()
