"""The peak memory of a process that runs some code."""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")

needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="peak memory of a process is read from /proc")

unused_mb = 0.0
"""In a fork: the memory of imported libraries that a new process uses, and that the fork has not used yet."""


def peak_mb() -> float:
    """Return the peak memory of this process in MB.

    `getrusage` would include the memory of the process from which this one was forked.
    """
    return status_mb("VmHWM") + unused_mb


def status_mb(name: str) -> float:
    """Return a figure of this process in MB: its memory `VmRSS`, or its peak `VmHWM`."""
    return int(STATUS.read_text().partition(f"{name}:")[2].split()[0]) / 1024


def printed_by(code: str, *arguments: str) -> list[str]:
    """Run code in a process of its own, which begins with a new peak; return the lines that it prints."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([code, arguments, dict(os.environ)]) + "\n")
    server.stdin.flush()
    status, printed = json.loads(server.stdout.readline())
    assert status == 0, f"the process ended with {status} and printed {printed}"
    return str(printed).splitlines()


@cache
def _server() -> "subprocess.Popen[str]":
    server = subprocess.Popen(
        [sys.executable, "-m", "light_forks"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)  # closes the input, which ends the server
    return server
