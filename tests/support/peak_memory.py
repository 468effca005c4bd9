"""The peak memory of a process that runs some code."""

import atexit
import functools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import pytest

STATUS = Path("/proc/self/status")

needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="peak memory of a process is read from /proc")


def peak_mb() -> float:
    """Return the peak memory of this process in MB.

    `getrusage` would include the memory of the process from which this one was forked.
    """
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def printed_by(code: str, *arguments: str) -> list[str]:
    """Run code in a process of its own, which begins with a new peak; return the lines that it prints.

    The process is a fork of one that has imported the engine and made an S3 client, which takes up to a second of CPU.
    """
    warm = _warm_process()
    assert warm.stdin
    assert warm.stdout
    warm.stdin.write(json.dumps([code, arguments, dict(os.environ)]) + "\n")
    warm.stdin.flush()
    lines = []
    while (line := warm.stdout.readline().rstrip("\n")) not in {"ended with 0", ""}:
        lines.append(line)
    assert line, f"the process failed after it printed {lines}"
    return lines


@functools.cache
def _warm_process() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", "import peak_memory; peak_memory.fork_for_each_line()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # the end of its input ends the process
    return process


def fork_for_each_line() -> None:
    """Run the code of each line of standard input in a fork. The fork's output ends with its exit code."""
    import sample_dataset  # noqa: F401 - imports the engine

    from tasks.engine.lake.s3_clients import new_client
    from tasks.engine.settings import LakeSettings

    new_client(LakeSettings.model_validate({"bucket": "none", "region": "us-east-1"}))  # its model of S3 is kept
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(f"ended with {os.waitstatus_to_exitcode(status)}\n", end="" if status == 0 else "\n", flush=True)


def _run(code: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - the code of a test
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
