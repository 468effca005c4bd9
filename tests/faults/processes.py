"""Loads, exports and builds in separate processes; see `driver`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from faults import driver
from forks import Fork


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


class Driver(Fork):
    """A process that connects, then waits for `go`."""

    def __init__(self, job: Job) -> None:
        super().__init__(driver.run, asdict(job))

    def wait_until_ready(self) -> None:
        assert self.receive() == "ready"

    def go(self) -> None:
        self.pipe.send("go")

    def statuses(self) -> list[str]:
        """Wait for a successful end, and return the statuses of the receipts."""
        return list(self.receive())


@contextmanager
def drivers(*jobs: Job) -> Iterator[list[Driver]]:
    """Connected processes; the end of the block kills the remaining ones."""
    started = [Driver(job) for job in jobs]
    try:
        for one in started:
            one.wait_until_ready()
        yield started
    finally:
        for one in started:
            one.kill()


def run_until_death(job: Job) -> None:
    """Run a job until it dies at the chosen step."""
    with drivers(job) as (one,):
        one.go()
        one.wait_until_dead()
