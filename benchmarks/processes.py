"""Measure a process: its time, its peak memory, its CPU time, and the CPU time of Postgres and of S3 meanwhile."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

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
        server_cpu_seconds: The CPU time of all processes of Postgres meanwhile.
        busy: The share of the machine's cores that was busy, whoever used them.
        s3_cpu_seconds: The CPU time of the local S3 server meanwhile.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float
    server_cpu_seconds: float
    busy: float
    s3_cpu_seconds: float


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    server_cpu: Callable[[], float] = lambda: 0.0,
    s3_cpu: Callable[[], float] = lambda: 0.0,
) -> Measured:
    """Run a command to its end.

    Args:
        command: Its words.
        environment: Its complete environment.
        server_cpu: Returns the CPU seconds that Postgres has used so far.
        s3_cpu: Returns the CPU seconds that the local S3 server has used so far.

    Raises:
        SystemExit: The command failed. The message contains the end of its output.
    """
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    used, stored, idle, started = server_cpu(), s3_cpu(), _idle_seconds(), time.perf_counter()
    done = subprocess.run(
        launched, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    cores = (time.perf_counter() - started) * (os.cpu_count() or 1)
    busy = min(1.0, max(0.0, 1 - (_idle_seconds() - idle) / cores))
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with status {done.returncode}:\n{done.stdout[-4000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]), server_cpu() - used, busy, s3_cpu() - stored)


def family_cpu_seconds(process_id: int) -> float:
    """Return the CPU seconds of a process, of its children, and of its children that ended. 0 without `/proc`.

    A child that ends during the reading could be missing in both sums, or be in both. So the function reads until the
    children before and after a reading are the same.
    """
    readings = [_family(process_id)]
    while len(readings) < 3 or any(one[1].keys() != readings[-1][1].keys() for one in readings[-3:]):
        readings.append(_family(process_id))
    own, children = readings[-2]
    return (own + sum(children.values())) / TICKS


def _family(process_id: int) -> tuple[int, dict[str, int]]:
    """The ticks of a process with its children that ended, and the ticks of each child."""
    stats = [fields for path in Path("/proc").glob("[0-9]*/stat") if (fields := _fields(path))]
    own = sum(sum(map(int, fields[13:17])) for fields in stats if fields[0] == str(process_id))
    return own, {fields[0]: sum(map(int, fields[13:15])) for fields in stats if fields[3] == str(process_id)}


def _fields(path: Path) -> list[str]:
    """The fields of a process by number minus one, as `man proc_pid_stat` counts them; empty if it has just ended."""
    try:
        head, _, tail = path.read_text().rpartition(")")
    except OSError:
        return []
    return [head.split()[0], "", *tail.split()]


def _idle_seconds() -> float:
    """Seconds that all cores together have been idle since the start of the machine. 0 without `/proc`."""
    if not Path("/proc/stat").exists():
        return 0.0
    idle, waiting = Path("/proc/stat").read_text().splitlines()[0].split()[4:6]
    return (int(idle) + int(waiting)) / TICKS
