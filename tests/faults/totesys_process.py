"""Runs of the `totesys` flows in processes of their own, which die at a chosen step."""

import importlib
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from faults.driver import die_at
from faults.processes import Death
from forks import Fork
from prefect import Flow
from runs_here import run_here


def run_until_death(flow: Flow[Any, Any], death: Death, *, has_server: bool = False) -> None:
    """Run a flow until it dies at the chosen step.

    Args:
        flow: The flow.
        death: The step.
        has_server: Run the flow on the Prefect server of the session, so that steps run side by side in threads.
    """
    process = Fork(_run, flow.fn.__module__, flow.fn.__name__, asdict(death), has_server)
    try:
        process.wait_until_dead()
    finally:
        process.kill()


def _run(_pipe: Connection, module: str, flow: str, death: dict[str, Any], has_server: bool) -> None:
    die_at(**death)
    found: Flow[Any, Any] = getattr(importlib.import_module(module), flow)
    if has_server:
        found()
    else:
        run_here(found)
