"""Parquet: parses row groups into string columns, with every value in ISO notation.

Only the contract's columns are read and converted. Other columns may have any type.
"""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch, match_columns
from tasks.engine.formats.frames import string_columns_of_arrays
from tasks.engine.formats.parquet_files import ParquetObject, check_counts, open_parquet
from tasks.engine.formats.parquet_values import invalid_texts, level_count, text_array, wants_lists
from tasks.engine.ledger import RejectedRow

PARQUET_ROWS = 131_072
"""Maximum number of rows that are read at once."""

ROW_BYTES = 128
"""Assumed minimum size of a row, for the size of a batch."""


def read_parquet(file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read parquet; see `tasks.engine.formats.reader.read_batches`."""
    parquet = open_parquet(file)
    columns = match_columns(contract, parquet.names, name)
    lists = wants_lists(contract)
    first, levels = 1, dict.fromkeys(columns.positions.values(), 0)
    for arrow in _read(parquet, columns, chunk_bytes):
        arrays = [
            text_array(
                arrow.column(place),
                parquet.schema.field(position).type,
                f"{name}, column {source}",
                takes_lists=source in lists,
            )
            for place, (source, position) in enumerate(columns.positions.items())
        ]
        for position, array in zip(columns.positions.values(), arrays, strict=True):
            levels[position] += level_count(array)
        yield _batch(arrays, first, columns)
        first += len(arrow)
    check_counts(parquet, first - 1, levels)


def _read(parquet: ParquetObject, columns: ColumnMatch, chunk_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of the contract's columns, in the order of its sources."""
    positions = list(columns.positions.values())
    order = sorted(positions)
    leaves = [leaf for position in order for leaf in parquet.leaves[position]]
    for group in range(parquet.file.num_row_groups):
        row_count = _rows_at_once(parquet.file.metadata.row_group(group), chunk_bytes)
        # Columns are selected by index: several columns may share a name, and a name may be a prefix of another name.
        for batch in parquet.file.reader.iter_batches(row_count, row_groups=[group], column_indices=leaves):
            batch.validate()
            yield pa.RecordBatch.from_arrays(
                [batch.column(order.index(position)) for position in positions], names=list(columns.positions)
            )


def _rows_at_once(group: pq.RowGroupMetaData, chunk_bytes: int) -> int:
    """Return the number of rows in a batch, by the average size of a row in the row group.

    The sizes of single columns are not used, because Arrow ends the process if their metadata are damaged.
    """
    average = group.total_byte_size // max(group.num_rows, 1)
    return max(min(chunk_bytes // max(average, ROW_BYTES), PARQUET_ROWS), 1)


def _batch(arrays: Sequence[Any], first: int, columns: ColumnMatch) -> Batch:
    """Convert arrays into a batch. A row with a string that is not UTF-8 is rejected."""
    errors: dict[int, str] = {}
    for source, array in zip(columns.positions, arrays, strict=True):
        for row in invalid_texts(array):
            errors.setdefault(row, source)
    rejected = [
        RejectedRow(first + row, source, "not UTF-8", _record(columns, arrays, row))
        for row, source in sorted(errors.items())
    ]
    count = len(arrays[0])
    places: Sequence[int] = range(count)
    if errors:
        places = [row for row in range(count) if row not in errors]
        arrays = [array.take(pa.array(places, pa.int64())) for array in arrays]

    def records_of(rows: Sequence[int]) -> list[tuple[int, bytes]]:
        return [(first + places[row], _record(columns, arrays, row)) for row in rows]

    return Batch(string_columns_of_arrays(list(columns.positions), arrays, len(places)), records_of, columns, rejected)


def _record(columns: ColumnMatch, arrays: Sequence[Any], row: int) -> bytes:
    """Return a row as a JSON object of strings. Bytes that are not UTF-8 are kept unchanged."""
    names = [columns.names[position] for position in columns.positions.values()]
    values = {name: _python(array[row]) for name, array in zip(names, arrays, strict=True)}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogateescape")


def _python(value: Any) -> object:
    if not value.is_valid:
        return None
    if isinstance(value, pa.LargeListScalar):
        return [_python(one) for one in value]
    return value.as_buffer().to_pybytes().decode(errors="surrogateescape")
