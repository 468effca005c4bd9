"""Measure a process: the time from its start to its end, its CPU time and its peak memory."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The peak memory of a child includes the memory of the process that started it. This launcher is therefore small.
_LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(json.dumps([time.perf_counter() - started, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Measured:
    """The measurements of a process.

    Attributes:
        seconds: The time from its start to its end.
        peak_mb: Its peak memory.
        cpu_seconds: The CPU time of the process and of the children that it waited for.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end.

    Raises:
        SystemExit: The command failed. The message contains the end of its output.
    """
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(
        launched, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with status {done.returncode}:\n{done.stdout[-4000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def path_with(folder: str | os.PathLike[str]) -> str:
    """Return PATH with the folder as its first entry."""
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
