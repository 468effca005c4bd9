"""Prefect flows without a step: what any run costs."""

import time

from prefect import flow


@flow(name="empty")
def empty() -> None:
    """Do nothing."""


@flow(name="brief")
def brief() -> None:
    """Wait a tenth of a second, so that Prefect's heartbeat thread sleeps its first second, as in any run with work."""
    time.sleep(0.1)
