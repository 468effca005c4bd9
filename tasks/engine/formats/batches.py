"""What readers hand over: some consecutive records of an object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.ledger import RejectedRow

CHUNK_BYTES = 4 << 20
"""About how many bytes of an object one batch holds, where nothing else is said."""


@dataclass(frozen=True)
class Batch:
    """Some consecutive records of an object.

    Attributes:
        strings: A row for each record, a column for each source of the contract.
        records_of: Line numbers and bytes of the records that some rows are of.
        columns: How the object's columns match the contract.
        rejected: Records in between that could not become rows.
    """

    strings: StringColumns
    records_of: Callable[[Sequence[int]], list[tuple[int, bytes]]]
    columns: ColumnMatch
    rejected: list[RejectedRow] = field(default_factory=list)
