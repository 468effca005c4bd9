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


def run_until_death(flow: Flow[Any, Any], death: Death) -> None:
    """Run a flow until it dies at the chosen step."""
    process = Fork(_run, flow.fn.__module__, flow.fn.__name__, asdict(death))
    try:
        process.wait_until_dead()
    finally:
        process.kill()


def _run(_pipe: Connection, module: str, flow: str, death: dict[str, Any]) -> None:
    die_at(**death)
    run_here(getattr(importlib.import_module(module), flow))
