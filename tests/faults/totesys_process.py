"""Runs of the flows of `totesys` in processes of their own, which may kill themselves at a chosen step.

The processes are forked from one that has imported everything.
"""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from faults.driver import die_at
from faults.processes import Death
from totesys_direct import without_server

from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync

PATIENCE = 120
FLOWS = {"sync": totesys_sync, "deletions": totesys_deletions}

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["faults.totesys_process"])


def run_flow(name: str, death: Death | None = None, **parameters: Any) -> None:
    """Run a flow to its end, or to the step at which it dies."""
    _start_server()
    process = _forks.Process(target=_run, args=(name, dict(os.environ), death and asdict(death), parameters))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == (-signal.SIGKILL if death else 0), f"{name} ended with {process.exitcode}"


def _start_server() -> None:
    # The server that forks does not take over this process's path, and passes over what it cannot import.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


def _run(name: str, environ: Mapping[str, str], death: dict[str, Any] | None, parameters: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    if death:
        die_at(**death)
    with without_server():
        FLOWS[name].fn(**parameters)
