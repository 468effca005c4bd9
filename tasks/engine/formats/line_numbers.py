"""Line numbers: the lines on which the records of a batch begin, in memory that the native code can read."""

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tasks.engine.formats.native import binding


class LineNumbers:
    """The line number of each valid record of a batch.

    Args:
        address: Address of the first number, a 64-bit integer. None if the batch has no records.
        stride: Distance in bytes between two numbers.
        kept: Owner of that memory, which must live as long as this object.
        before: Is added to each number.
    """

    def __init__(self, address: int | None, stride: int, kept: Any, before: int = 0) -> None:
        self.lines = binding.Lines(address, stride, before)
        self._kept = kept

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "LineNumbers":
        """Copy line numbers into memory for the native code."""
        copied = array("q", numbers)
        address, _ = copied.buffer_info()
        return cls(address, copied.itemsize, copied)

    @classmethod
    def following(cls, first: int, count: int) -> "LineNumbers":
        """Return consecutive numbers."""
        counted = _counted(1 << max(count - 1, 0).bit_length())
        address, _ = counted.buffer_info()
        return cls(address, counted.itemsize, counted, first)

    def at(self, rows: Sequence[int]) -> list[int]:
        """Return the line numbers of the records at the given row positions."""
        address, stride, before = self.lines.numbers or 0, self.lines.stride, self.lines.before
        return [ctypes.c_int64.from_address(address + row * stride).value + before for row in rows]


@lru_cache(maxsize=1)
def _counted(count: int) -> "array[int]":
    """Return the numbers from 0. All batches of a file share them."""
    return array("q", range(count))
