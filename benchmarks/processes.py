"""Whole processes, measured: their time from start to end, and the operating system's account of their peak memory."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A child's peak memory counts that of the process that it was forked from: this one is small.
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
    """One run of a process.

    Attributes:
        seconds: From its start to its end.
        peak_mb: Its peak memory.
        cpu_seconds: What it and its children that it waited for took of the processors.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end.

    Raises:
        SystemExit: It failed; with what it said.
    """
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(
        launched, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with status {done.returncode}:\n{done.stdout[-4000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def path_with(folder: str | os.PathLike[str]) -> str:
    """PATH with a folder before all others."""
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
