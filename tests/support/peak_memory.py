"""The peak memory of a process that runs some code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")

needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="peak memory of a process is read from /proc")


def peak_mb() -> float:
    """Return the peak memory of this process in MB.

    `getrusage` would include the memory of the process from which this one was forked.
    """
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def printed_by(code: str, *arguments: str) -> list[str]:
    """Run code in a process of its own, which begins with a new peak; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    return done.stdout.splitlines()
