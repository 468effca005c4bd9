"""Texts as frames of polars, and frames as texts."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from tasks.engine.formats.native.binding import TextColumn, library
from tasks.engine.formats.texts import Texts

_NO_BYTES = ctypes.create_string_buffer(0)
"""What texts without a byte are made of, for which Arrow has no buffer."""


def texts_of(frame: pl.DataFrame) -> Texts:
    """The columns of a frame, which are strings or lists of strings."""
    arrays = [series.rechunk().to_arrow() for series in frame.get_columns()]
    return Texts(frame.columns, [_column(array) for array in arrays], len(frame), arrays)


def texts_of_arrays(names: Sequence[str], arrays: Sequence[Any], row_count: int) -> Texts:
    """Arrow arrays of large strings, or of large lists of them, as columns of texts."""
    return Texts(names, [_column(array) for array in arrays], row_count, arrays)


def frame_of(texts: Texts, names: Iterable[str] | None = None) -> pl.DataFrame:
    """All columns, or some of them, as a frame of strings; not those that are lists."""
    columns = dict(zip(texts.names, texts.columns, strict=True))
    return pl.DataFrame({name: _series(columns[name], texts.row_count) for name in names or texts.names})


def _series(column: TextColumn, row_count: int) -> pl.Series:
    offsets = (ctypes.c_int64 * (row_count + 1))()
    data = (ctypes.c_uint8 * library.texts_size(column, row_count))()
    validity = (ctypes.c_uint8 * ((row_count + 7) // 8))()
    library.texts_copy(column, row_count, offsets, data, validity)
    buffers: list[pa.Buffer | None] = [pa.py_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pl.Series(pa.Array.from_buffers(pa.large_string(), row_count, buffers))


def _column(array: Any) -> TextColumn:
    """A column over an Arrow array of large strings, or of large lists of them, which somebody else keeps."""
    column = TextColumn()
    if array.type.num_fields:
        column.has_list, column.lists = _addresses(array)
        column.list_offset = array.offset
        array = array.values
    column.validity, column.offsets, data = _addresses(array)
    column.data = data or ctypes.addressof(_NO_BYTES)
    column.offset = array.offset
    return column


def _addresses(array: Any) -> list[int | None]:
    """Of an array's own buffers."""
    own = 2 if array.type.num_fields else 3
    return [buffer.address if buffer else None for buffer in array.buffers()[:own]]
