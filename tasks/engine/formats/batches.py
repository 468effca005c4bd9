"""Batches: groups of consecutive records of an object, the output of the format readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.rejected_rows import RejectedRow

CHUNK_BYTES = 4 << 20
"""Default size of a batch: the approximate number of bytes of the object."""


@dataclass(frozen=True)
class Batch:
    """A group of consecutive records of an object.

    Attributes:
        strings: One row for each valid record, one column for each source of the contract.
        records_of: Returns the line numbers and the bytes of the records at the given row positions.
        columns: The match between the object's columns and the contract.
        lines: The line numbers of the valid records. In parquet, the numbers of the rows.
        rejected: Malformed records in this group.
    """

    strings: StringColumns
    records_of: Callable[[Sequence[int]], list[tuple[int, bytes]]]
    columns: ColumnMatch
    lines: LineNumbers
    rejected: list[RejectedRow] = field(default_factory=list)
