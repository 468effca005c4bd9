"""Runs of the `totesys` flows in processes of their own, which die at a chosen step."""

import importlib
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from faults.driver import die_at, die_at_later, die_beside
from faults.processes import Death
from forks import Fork, read_prefect_settings
from prefect import Flow
from runs_here import run_here

BEGIN = "tasks.engine.sync.runs:begin_run"
"""The call that begins a run."""


def run_until_death(flow: Flow[Any, Any], death: Death, held: Death | None = None, *, of_new_run: bool = False) -> None:
    """Run a flow until it dies at the chosen step.

    Args:
        flow: The flow.
        death: The step.
        held: A step at which another thread stays. The flow then runs on the Prefect server of the session, so that
            steps run side by side in threads.
        of_new_run: Whether to count calls of the run that the flow begins, and none of a run that it completes.
    """
    asked = asdict(death), asdict(held) if held else None, of_new_run
    process = Fork(_run, flow.fn.__module__, flow.fn.__name__, *asked)
    try:
        process.wait_until_dead()
    finally:
        process.kill()


def _run(
    _pipe: Connection,
    module: str,
    flow: str,
    death: dict[str, Any],
    held: dict[str, Any] | None,
    of_new_run: bool,
) -> None:
    found: Flow[Any, Any] = getattr(importlib.import_module(module), flow)
    if held:
        read_prefect_settings()
        die_beside(death, held)
        found()
        return
    if of_new_run:
        die_at_later(BEGIN, death)
    else:
        die_at(**death)
    run_here(found)
