"""Rejected rows: records that do not become rows, with their position and reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RejectedRow:
    """A rejected record: its position, the reason and its bytes.

    Attributes:
        line_number: First physical line of the record in the decompressed object, starting at 1. In parquet, the row
            number, starting at 1.
    """

    line_number: int
    column_name: str | None
    reason: str
    raw: bytes
