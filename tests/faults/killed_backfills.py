"""A backfill in a process of its own that dies at a chosen step."""

import os
import subprocess
import sys

from faults.processes import Death

RUN = """
from faults.driver import die_at
die_at(path={path!r}, when={when!r}, count={count}, containing="")
from flows.backfill import backfill
backfill(pipeline={pipeline!r}, start={start!r}, end={end!r})
"""
"""Runs in a process that dies at a step of its second partition."""


def run_until_death(pipeline: str, start: str, end: str, death: Death) -> None:
    code = RUN.format(path=death.path, when=death.when, count=death.count, pipeline=pipeline, start=start, end=end)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -9, f"it never came to the step: {done.stderr}"
