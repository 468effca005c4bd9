"""String columns: the output of the format readers and the input of the row encoder."""

from collections.abc import Sequence
from typing import Any

from tasks.engine.formats.native.binding import StringColumn


class StringColumns:
    """Rows of nullable strings by column, in memory that the native code can read.

    Args:
        names: Names of the columns.
        columns: Memory layout of each column.
        row_count: Number of rows.
        kept: Owners of that memory, which must live as long as this object.
    """

    def __init__(self, names: Sequence[str], columns: Sequence[StringColumn], row_count: int, *kept: Any) -> None:
        self.names = tuple(names)
        self.columns = (StringColumn * len(columns))(*columns)
        self.row_count = row_count
        self._kept = kept
