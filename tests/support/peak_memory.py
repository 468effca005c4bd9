"""The peak memory of a process that runs some code."""

import contextlib
import io
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from forks import Fork

STATUS = Path("/proc/self/status")

needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="peak memory of a process is read from /proc")


def peak_mb() -> float:
    """Return the peak memory of this process in MB.

    `getrusage` would include the memory of the process from which this one was forked.
    """
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def printed_by(code: str, *arguments: str) -> list[str]:
    """Run code in a process of its own, which begins with a new peak; return the lines that it prints.

    The process has imported all flows, as the process of a run has.
    """
    fork = Fork(_run, code, arguments)
    try:
        printed: str = fork.receive()
    finally:
        fork.kill()
    return printed.splitlines()


def _run(pipe: Connection, code: str, arguments: tuple[str, ...]) -> None:
    sys.argv[1:] = arguments
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - the code of a test
    pipe.send(printed.getvalue())
