"""Conversion between string columns and data frames of polars."""

import ctypes
from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa

from tasks.engine.formats.arrow_columns import string_columns_of_arrays
from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.string_columns import StringColumns


def string_columns_of(frame: pl.DataFrame) -> StringColumns:
    """Convert a frame of strings and lists of strings into string columns."""
    arrays = [series.rechunk().to_arrow() for series in frame.get_columns()]
    return string_columns_of_arrays(frame.columns, arrays, len(frame))


def frame_of(texts: StringColumns, names: Iterable[str] | None = None) -> pl.DataFrame:
    """Convert all or some columns into a frame of strings and lists of strings."""
    columns = dict(zip(texts.names, texts.columns, strict=True))
    return pl.DataFrame({name: _series(columns[name], texts.row_count) for name in names or texts.names})


def _series(column: StringColumn, row_count: int) -> pl.Series:
    return pl.Series(_lists(column, row_count) if column.lists else _strings(column, row_count))


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
