"""What readers hand over: some consecutive records of an object."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from tasks.engine.columns import ColumnMatch
from tasks.engine.ledger import RejectedRow

CHUNK_BYTES = 4 << 20
"""About how many bytes of an object one batch holds, where nothing else is said."""


@dataclass(frozen=True)
class Batch:
    """Some consecutive records of an object.

    Attributes:
        frame: One column for each source of the contract; strings, or what a typed format delivers.
        line_numbers: Place of each row of the frame.
        raw_of: The bytes of the rows with these indexes.
        rejected: Records in between that could not become rows of the frame.
        columns: How the object's columns match the contract.
    """

    frame: pl.DataFrame
    line_numbers: pl.Series
    raw_of: Callable[[pl.Series], list[bytes]]
    columns: ColumnMatch
    rejected: list[RejectedRow] = field(default_factory=list)
