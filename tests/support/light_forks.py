"""A process that runs code in forks of itself, one for each line of its input.

A fork begins with the imports of a load of CSV, which take most of a second, and without the memory of earlier forks.
This process does not import polars, Arrow and Prefect, because a load of CSV needs none of them.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence

import peak_memory
import sample_dataset  # noqa: F401 - imported for the forks
import sample_visits  # noqa: F401 - imported for the forks

SECONDS = 240


def answer(code: str, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run code in a fork; return the status of the fork and the text that it printed."""
    mine, theirs = os.pipe()
    all_mb = peak_memory.status_mb("VmRSS")
    process = os.fork()
    if not process:
        os.dup2(theirs, sys.stdout.fileno())
        os.close(mine)
        os.close(theirs)
        signal.alarm(SECONDS)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = ["-c", *arguments]
        # A fork maps the pages of a library only when it uses them.
        peak_memory.unused_mb = max(0.0, all_mb - peak_memory.status_mb("VmRSS"))
        run(code)
    os.close(theirs)
    with os.fdopen(mine) as output:
        printed = output.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), printed


def run(code: str) -> None:
    """Run code and end this process."""
    status = 1
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - the code of a test
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)
