"""Fixed width: slices lines into fields by the positions of their characters."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from tasks.contracts import Contract
from tasks.contracts.formats import FixedWidth
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import match_columns
from tasks.engine.formats.encodings import not_text
from tasks.engine.formats.frames import string_columns_of
from tasks.engine.formats.json_records import Record, read_lines
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.record_groups import grouped
from tasks.engine.rejected_rows import RejectedRow

BLANKS = " \t"
"""Characters that are removed at both ends of a field."""


def read_fixed_width(file: Any, name: str, contract: Contract, layout: FixedWidth, chunk_bytes: int) -> Iterator[Batch]:
    """Read lines of fixed width; see `tasks.engine.formats.reader.read_batches`."""
    slicer, comment = FixedWidthSlicer(contract, name, layout), layout.comment.encode()
    lines = (
        (line, raw)
        for line, raw in read_lines(file, name)
        if line > layout.skip_lines and not (comment and raw.startswith(comment))
    )
    for records in grouped(lines, chunk_bytes):
        yield slicer.batch(records)


class FixedWidthSlicer:
    """Slices lines into the fields that a contract needs.

    Args:
        contract: The expected columns.
        name: The object, for the messages.
        layout: The positions of the fields.

    Raises:
        ContractError: The layout lacks a column of the contract.
    """

    def __init__(self, contract: Contract, name: str, layout: FixedWidth) -> None:
        self._columns = match_columns(contract, layout.names, name)
        self._fields = {source: layout.fields[place] for source, place in self._columns.positions.items()}
        self._reason = not_text(layout.encoding)

    def batch(self, records: Sequence[Record]) -> Batch:
        """Slice lines into a batch. A line that is not text in the declared encoding is rejected."""
        valid: list[Record] = []
        texts: list[str] = []
        rejected: list[RejectedRow] = []
        for line, raw in records:
            try:
                texts.append(raw.decode())
                valid.append((line, raw))
            except UnicodeDecodeError:
                rejected.append(RejectedRow(line, None, self._reason, raw))
        lines = pl.Series("line", texts, dtype=pl.String).to_frame()
        frame = lines.select(_value(start, width).alias(source) for source, (_, start, width) in self._fields.items())
        numbers = LineNumbers.of(line for line, _ in valid)
        strings = string_columns_of(frame)
        return Batch(strings, lambda places: [valid[place] for place in places], self._columns, numbers, rejected)


def _value(start: int, width: int) -> pl.Expr:
    """Return the characters of a field without the blanks around them. They are null if nothing is left."""
    value = pl.col("line").str.slice(start - 1, width).str.strip_chars(BLANKS)
    return pl.when(value != "").then(value)
