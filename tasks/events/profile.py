"""Profile one file without a warehouse: count its most frequent values.

This module imports polars, so only the flow that profiles imports it.
"""

from collections.abc import Mapping

import polars as pl
from prefect.logging import get_run_logger

from tasks.contracts import Contract
from tasks.engine.errors import Permanent, UnreadableObjectError
from tasks.engine.quoting import shown
from tasks.engine.receipts import Profile
from tasks.events.profile_sources import is_local, open_object
from tasks.events.profiler import read_profile
from tasks.policy import step


@step(task_run_name="Read {source}")
def read_top_values(contract: Contract, questions: Mapping[str, pl.Expr], source: str, top: int) -> Profile:
    """Stream one object or local file and count its most frequent values, without a warehouse.

    Raises:
        MissingObjectError: The object or file does not exist.
        ParameterError: The path is not allowed.
        UnreadableObjectError: A local file is not a file of the contract. The message quotes nothing from the file.
        TallyError: An object of the lake cannot be read, or does not match the contract.
    """
    with open_object(source) as file:
        try:
            profile = read_profile(file, source, contract, questions, top)
        except Permanent:
            if not is_local(source):
                raise
            # The message would quote the file, which may be confidential.
            raise UnreadableObjectError(
                f"{shown(source)} is not a file of {contract.dataset}: expected the columns"
                f" {', '.join(contract.sources)} in the format that the name's suffix states. This message quotes"
                " nothing from the file; open the file to compare"
            ) from None
    get_run_logger().info(
        "Read %s: %s rows, %s rejected", source, f"{profile.rows_read:,}", f"{profile.rows_rejected:,}"
    )
    return profile
