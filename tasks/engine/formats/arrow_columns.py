"""Conversion of Arrow arrays into string columns, without a copy."""

import ctypes
from collections.abc import Sequence
from typing import Any

from tasks.engine.formats.native.binding import StringColumn
from tasks.engine.formats.string_columns import StringColumns

_NO_BYTES = ctypes.create_string_buffer(0)
"""Stands in for the data buffer of a column without any bytes, for which Arrow allocates no buffer."""


def string_columns_of_arrays(names: Sequence[str], arrays: Sequence[Any], row_count: int) -> StringColumns:
    """Convert Arrow arrays of large strings, or of large lists of large strings, into string columns."""
    return StringColumns(names, [_column(array) for array in arrays], row_count, arrays)


def _column(array: Any) -> StringColumn:
    """Describe the memory of an Arrow array of large strings or large lists. The caller keeps the array alive."""
    column = StringColumn()
    if array.type.num_fields:
        column.has_list, column.lists = _addresses(array)
        column.list_offset = array.offset
        array = array.values
    column.validity, column.offsets, data = _addresses(array)
    column.data = data or ctypes.addressof(_NO_BYTES)
    column.offset = array.offset
    return column


def _addresses(array: Any) -> list[int | None]:
    """Return the addresses of an array's own buffers, without the buffers of its child arrays."""
    own = 2 if array.type.num_fields else 3
    return [buffer.address if buffer else None for buffer in array.buffers()[:own]]
