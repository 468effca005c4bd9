"""File objects over blocks of bytes and over ranges of an S3 object."""

import io
from collections.abc import Callable, Iterator
from typing import Any


def counted(blocks: Iterator[bytes], on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the same blocks, and call `on_bytes` with the size of each block."""
    for block in blocks:
        on_bytes(len(block))
        yield block


class SeekableObject(io.RawIOBase):
    """Random access to a pinned object: each read is a ranged request.

    Args:
        read: Yields the blocks between two offsets.
        size_bytes: Size of the object.
        on_bytes: Called with the number of bytes received.
    """

    def __init__(
        self, read: Callable[[int, int], Iterator[bytes]], size_bytes: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._read, self._size_bytes, self._on_bytes = read, size_bytes, on_bytes
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position of the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, up to the end of the object."""
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size_bytes)
        filled = 0
        for block in self._read(self._position, end):
            view[filled : filled + len(block)] = block
            filled += len(block)
        self._position += filled
        self._on_bytes(filled)
        return filled


class BlockFile(io.RawIOBase):
    """A file over an iterator of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the rest of the current block, or with the next block."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
