"""Texts: what readers make of an object's bytes, by column, and what rows of a COPY are made of."""

from collections.abc import Sequence
from typing import Any

from tasks.engine.formats.native.binding import StringColumn


class StringColumns:
    """Rows of texts, or of nothing, in memory that the compiled part reads.

    Args:
        names: Of the columns.
        columns: Where the texts of each are.
        row_count: How many rows there are.
        kept: Whatever owns that memory.
    """

    def __init__(self, names: Sequence[str], columns: Sequence[StringColumn], row_count: int, *kept: Any) -> None:
        self.names = tuple(names)
        self.columns = (StringColumn * len(columns))(*columns)
        self.row_count = row_count
        self._kept = kept
