"""String columns: the output of the format readers and the input of the row encoder."""

import ctypes
from collections.abc import Sequence
from typing import Any

from tasks.engine.formats.native.binding import StringColumn, library


class StringColumns:
    """Rows of nullable strings by column, in memory that the native code can read.

    Args:
        names: Names of the columns.
        columns: Memory layout of each column.
        row_count: Number of rows.
        kept: Owners of that memory, which must live as long as this object.
    """

    def __init__(self, names: Sequence[str], columns: Sequence[StringColumn], row_count: int, *kept: Any) -> None:
        self.names = tuple(names)
        self.columns = (StringColumn * len(columns))(*columns)
        self.row_count = row_count
        self._kept = kept

    @classmethod
    def of(cls, name: str, texts: Sequence[str]) -> "StringColumns":
        """Copy some texts into one column."""
        encoded = [text.encode() for text in texts]
        data = ctypes.create_string_buffer(b"".join(encoded))
        offsets = (ctypes.c_int64 * (len(encoded) + 1))()
        for place, text in enumerate(encoded):
            offsets[place + 1] = offsets[place] + len(text)
        column = StringColumn(data=ctypes.addressof(data), offsets=ctypes.addressof(offsets))
        return cls([name], [column], len(encoded), data, offsets)

    def select(self, names: Sequence[str]) -> "StringColumns":
        """Return some columns, in the same memory."""
        places = [self.names.index(name) for name in names]
        return StringColumns(names, [self.columns[place] for place in places], self.row_count, self)

    def texts_of(self, name: str, rows: Sequence[int]) -> list[str | None]:
        """Return the texts of some rows of a column that holds no lists."""
        column, count = self.columns[self.names.index(name)], self.row_count
        offsets = (ctypes.c_int64 * (count + 1))()
        data = (ctypes.c_char * max(library.strings_size(column, count), 1))()
        validity = (ctypes.c_uint8 * ((count + 7) // 8))()
        library.strings_copy(column, count, offsets, ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8)), validity)
        copied = data.raw
        return [
            copied[offsets[row] : offsets[row + 1]].decode() if validity[row >> 3] >> (row & 7) & 1 else None
            for row in rows
        ]
