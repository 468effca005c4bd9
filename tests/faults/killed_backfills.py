"""A backfill in a process of its own that dies at a chosen step."""

from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from faults.driver import die_at
from faults.processes import Death
from forks import Fork, read_prefect_settings

from flows.backfill import backfill


def run_until_death(pipeline: str, start: str, end: str, death: Death) -> None:
    """Run a backfill until it dies at the chosen step."""
    process = Fork(_run, pipeline, start, end, asdict(death))
    try:
        process.wait_until_dead()
    finally:
        process.kill()


def _run(_pipe: Connection, pipeline: str, start: str, end: str, death: dict[str, Any]) -> None:
    read_prefect_settings()
    die_at(**death)
    backfill(pipeline=pipeline, start=start, end=end)
