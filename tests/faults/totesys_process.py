"""Runs of the `totesys` flows in separate processes, which kill themselves at a chosen step.

The processes are forked from one that has imported everything.
"""

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing import forkserver
from typing import Any

from faults.driver import die_at
from faults.processes import Death
from prefect import Flow
from totesys_direct import run_here

PATIENCE = 120

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["faults.totesys_process", "flows.totesys_sync"])


def run_until_death(flow: Flow[Any, Any], death: Death) -> None:
    """Run a flow until it dies at the chosen step."""
    _start_server()
    module = flow.fn.__module__
    process = _forks.Process(target=_run, args=(module, flow.fn.__name__, dict(os.environ), asdict(death)))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL, f"it never came to the step, and ended with {process.exitcode}"


def _start_server() -> None:
    # The fork server does not inherit this process's path, and ignores modules that it cannot import.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


def _run(module: str, flow: str, environ: Mapping[str, str], death: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    die_at(**death)
    run_here(getattr(importlib.import_module(module), flow))
