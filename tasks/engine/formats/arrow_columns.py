"""Conversion between string columns and arrays of Arrow."""

import ctypes
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.string_columns import StringColumns

_NO_BYTES = ctypes.create_string_buffer(0)
"""Stands in for the data buffer of a column without any bytes, for which Arrow allocates no buffer."""


def string_columns_of_arrays(names: Sequence[str], arrays: Sequence[Any], row_count: int) -> StringColumns:
    """Convert Arrow arrays of large strings, or of large lists of large strings, into string columns without a copy."""
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


def arrays_of(texts: StringColumns) -> list[Any]:
    """Copy string columns into Arrow arrays of large strings, or of large lists of large strings."""
    return [
        _lists(column, texts.row_count) if column.lists else _strings(column, texts.row_count)
        for column in texts.columns
    ]


def _lists(column: StringColumn, row_count: int) -> Any:
    first = column.list_offset
    offsets = list((ctypes.c_int64 * (first + row_count + 1)).from_address(column.lists))[first:]
    elements = StringColumn.from_buffer_copy(column)
    elements.lists = elements.has_list = None
    missing = None
    if column.has_list:
        bits = (ctypes.c_uint8 * ((first + row_count + 7) // 8)).from_address(column.has_list)
        missing = pa.array([not bits[row >> 3] >> (row & 7) & 1 for row in range(first, first + row_count)], pa.bool_())
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), _strings(elements, offsets[-1]), mask=missing)


def _strings(column: StringColumn, row_count: int) -> Any:
    offsets = (ctypes.c_int64 * (row_count + 1))()
    data = (ctypes.c_uint8 * library.strings_size(column, row_count))()
    validity = (ctypes.c_uint8 * ((row_count + 7) // 8))()
    library.strings_copy(column, row_count, offsets, data, validity)
    buffers: list[pa.Buffer | None] = [pa.py_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), row_count, buffers)
