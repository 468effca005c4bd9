"""A seekable file that holds some of its ranges in memory, and reads the next ranges ahead."""

import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

Range = tuple[int, int]
"""Position and size."""

GAP_BYTES = 1 << 16
"""Two ranges are read with one request if at most this many bytes are between them."""


AHEAD_BYTES = 1 << 17
"""After a read of at least this size, the thread reads the same number of bytes ahead, because another read follows."""

WINDOW_BYTES = 1 << 20
"""A smaller read takes this many bytes, because others follow it, such as the headers of the next pages."""


def merged(ranges: Sequence[Range]) -> list[Range]:
    """Join ranges that overlap or that a small gap separates. Each range that remains is a request."""
    joined: list[Range] = []
    for position, size in sorted(ranges):
        start, length = joined[-1] if joined else (position, 0)
        if joined and position - start - length <= GAP_BYTES:
            joined[-1] = (start, max(length, position + size - start))
        else:
            joined.append((position, size))
    return joined


def size_of(ranges: Sequence[Range]) -> int:
    """Return the total size of ranges."""
    return sum(size for _, size in ranges)


class RangeFile(io.RawIOBase):
    """A seekable file that holds some of its ranges in memory. Close it to end its thread.

    Args:
        file: The file. Each read of it may be a request.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._lock = file, threading.Lock()
        self._size = file.seek(0, io.SEEK_END)
        self._position = 0
        self._held: list[tuple[int, memoryview]] = []
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: tuple[Sequence[Range], Future[list[tuple[int, memoryview]]]] | None = None
        self._streams: Sequence[Range] = ()
        self._next: dict[int, Future[memoryview]] = {}
        self._window = (0, memoryview(b""))

    def stream(self, ranges: Sequence[Range]) -> None:
        """Hold nothing. After each large read, a thread reads as many bytes ahead, up to the end of the range."""
        self.hold([])
        self._streams = ranges

    def hold(self, ranges: Sequence[Range], following: Sequence[Range] = ()) -> None:
        """Hold ranges in memory instead of those that were held.

        Args:
            ranges: The ranges to hold.
            following: The ranges of the next call. A thread reads them in the meantime.
        """
        self._held, self._streams = [], ()
        self._next.clear()
        expected, found = self._ahead or ([], None)
        self._ahead = None
        early = found.result() if found else []
        self._held = early if found and expected == ranges else self._read_ranges(ranges)
        if following:
            self._ahead = following, self._thread.submit(self._read_ranges, following)

    def close(self) -> None:
        """End the thread. The file below stays open."""
        self._thread.shutdown(cancel_futures=True)
        self._ahead, self._held = None, []
        self._next.clear()
        super().close()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set where the next read begins."""
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read bytes, from memory where it holds them."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        if end <= self._position:
            return b""
        for start, data in (*self._held, self._window):
            if start <= self._position and end <= start + len(data):
                found = bytes(data[self._position - start : end - start])
                break
        else:
            found = self._streamed(self._position, end)
        self._position += len(found)
        return found

    def _streamed(self, position: int, end: int) -> bytes:
        """Return bytes that are not held, and start to read ahead if the same range continues after them."""
        size, early = end - position, self._next.pop(position, None)
        if size < AHEAD_BYTES and not early:
            self._window = position, self._read_range(position, WINDOW_BYTES)
            return bytes(self._window[1][:size])
        data = bytes(early.result()[:size]) if early else b""
        if len(data) < size:
            data += self._read_range(position + len(data), size - len(data))
        ends = [start + length for start, length in self._streams if start <= position < start + length]
        if ends and size >= AHEAD_BYTES and end < ends[0]:
            self._next[end] = self._thread.submit(self._read_range, end, min(size, ends[0] - end))
        return data

    def _read_ranges(self, ranges: Sequence[Range]) -> list[tuple[int, memoryview]]:
        return [(position, self._read_range(position, size)) for position, size in ranges]

    def _read_range(self, position: int, size: int) -> memoryview:
        """Read a range with one request: `read` would request its last part separately."""
        data = bytearray(max(min(size, self._size - position), 0))
        with self._lock:
            self._file.seek(position)
            count = self._file.readinto(data)
        return memoryview(data)[:count]
