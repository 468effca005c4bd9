"""Loads, exports and builds in processes of their own; see `driver`."""

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
        count: Which of the calls, from 1.
        containing: Counts only calls whose arguments, as they print, hold this.
    """

    path: str
    when: str = "after"
    count: int = 1
    containing: str = ""


@dataclass(frozen=True)
class Job:
    """What a process does.

    Attributes:
        work: `load`, `export` or `build`.
        arguments: Of that work.
        die: Where to die; None to end well.
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
        """The job, to be done in this process's environment."""
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
        """Wait for its good end; what its receipts say."""
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
"""Started ahead of the next test: half of such a test's time is the imports."""


def end_spares() -> None:
    while _spares:
        _spares.pop().kill()


@contextmanager
def drivers(*jobs: Job) -> Iterator[list[Driver]]:
    """Processes that have all connected; those that are left at the end are killed."""
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
    """Run a job to the step at which it dies."""
    with drivers(job) as (driver,):
        driver.go()
        driver.wait_until_dead()
