"""Profile one file of a dataset without a warehouse: its most frequent values.

This module imports polars, so only the flow that profiles imports it.
"""

from collections.abc import Mapping

import polars as pl
from prefect.logging import get_run_logger

from tasks.contracts import Contract
from tasks.engine.profiler import read_profile
from tasks.engine.receipts import Profile
from tasks.extract import open_source
from tasks.policy import step


@step(task_run_name="read_top_values {source}")
def read_top_values(contract: Contract, questions: Mapping[str, pl.Expr], source: str, top: int) -> Profile:
    """Stream one object or local file and count its most frequent values, without a warehouse."""
    with open_source(source) as file:
        profile = read_profile(file, source, contract, questions, top)
    get_run_logger().info(
        "Read %s: %s rows, %s rejected", source, f"{profile.rows_read:,}", f"{profile.rows_rejected:,}"
    )
    return profile
