"""A file of ranges: what it holds in memory, what it reads ahead, and how often it asks the file below."""

import io
import threading
from typing import Any

import pytest

from tasks.engine.formats.range_file import AHEAD_BYTES, GAP_BYTES, WINDOW_BYTES, RangeFile, merged, size_of

CONTENT = bytes(number % 251 for number in range(3_000_000))


class Below(io.RawIOBase):
    """Counts its reads. Each of them may be a request."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self._content = io.BytesIO(content)
        self.reads: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()

    def readinto(self, buffer: Any) -> int:
        if self.error:
            raise self.error
        self.threads.add(threading.current_thread().name)
        self.reads.append((self._content.tell(), len(buffer)))
        return self._content.readinto(buffer)


def opened(below: Below) -> RangeFile:
    return RangeFile(io.BufferedReader(below, 16))


def read(file: RangeFile, position: int, size: int) -> bytes:
    assert file.seek(position) == position
    found = file.read(size)
    assert file.tell() == position + len(found)
    return found


@pytest.mark.parametrize(
    ("ranges", "joined"),
    [
        ([], []),
        ([(5, 10)], [(5, 10)]),
        ([(15, 5), (5, 10)], [(5, 15)]),
        ([(0, 10), (10 + GAP_BYTES, 1)], [(0, 11 + GAP_BYTES)]),
        ([(0, 10), (11 + GAP_BYTES, 1)], [(0, 10), (11 + GAP_BYTES, 1)]),
        ([(0, 100), (10, 20)], [(0, 100)]),
        ([(0, 10), (0, 10)], [(0, 10)]),
    ],
)
def test_near_ranges_are_one_request(ranges: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    assert merged(ranges) == joined
    assert size_of(joined) == sum(size for _, size in joined)


def test_each_held_range_is_requested_once_and_whole() -> None:
    below = Below()
    file = opened(below)
    file.hold([(10, 1_000), (50_000, 70_001)])
    assert below.reads == [(10, 1_000), (50_000, 70_001)]
    for position, size in ((10, 1_000), (500, 30), (50_000, 70_001), (120_000, 1)):
        assert read(file, position, size) == CONTENT[position : position + size]
    assert len(below.reads) == 2
    assert read(file, 1_000, 20) == CONTENT[1_000:1_020]  # its end is after a held range
    assert len(below.reads) == 3
    assert read(file, len(CONTENT) - 5, 100) == CONTENT[-5:]
    file.seek(-5, io.SEEK_END)
    assert file.read() == CONTENT[-5:]


def test_thread_reads_the_next_ranges_ahead() -> None:
    below = Below()
    file = opened(below)
    file.hold([(0, 100)], following=[(100, 100), (5_000, 100)])
    file.hold([(100, 100), (5_000, 100)], following=[(6_000, 100)])
    assert read(file, 5_050, 50) == CONTENT[5_050:5_100]
    file.close()  # waits for the thread
    assert below.reads[:3] == [(0, 100), (100, 100), (5_000, 100)]
    assert any(name.startswith("read-ahead") for name in below.threads)
    assert not any(thread.name.startswith("read-ahead") for thread in threading.enumerate())


def test_other_ranges_than_those_read_ahead_are_read_again() -> None:
    below = Below()
    file = opened(below)
    file.hold([(0, 100)], following=[(100, 100)])
    file.hold([(300, 100)])
    assert read(file, 300, 100) == CONTENT[300:400]
    assert below.reads == [(0, 100), (100, 100), (300, 100)]
    file.close()


def test_error_of_reading_ahead_reaches_the_caller() -> None:
    below = Below()
    file = opened(below)
    file.hold([(0, 100)])
    below.error = ConnectionError("lost")
    file.hold([], following=[(100, 100)])
    with pytest.raises(ConnectionError, match="lost"):
        file.hold([(100, 100)])
    below.error = None
    file.hold([(100, 100)])
    assert read(file, 100, 100) == CONTENT[100:200]
    file.close()


@pytest.mark.parametrize("ranges", [[(2_999_990, 100)], [(3_000_000, 5)], [(4_000_000, 5)], [(5, 0)]])
def test_ranges_past_the_end_hold_the_available_bytes(ranges: list[tuple[int, int]]) -> None:
    file = opened(Below())
    file.hold(ranges)
    for position, size in ranges:
        assert read(file, position, size) == CONTENT[position : position + size]


def test_small_reads_share_a_window_and_large_ones_do_not() -> None:
    below = Below()
    file = opened(below)
    for position in (1_000, 1_500, 1_000 + WINDOW_BYTES - 50):
        assert read(file, position, 50) == CONTENT[position : position + 50]
    assert below.reads == [(1_000, WINDOW_BYTES)]
    assert read(file, 0, 2_000) == CONTENT[:2_000]
    assert read(file, 500_000, WINDOW_BYTES) == CONTENT[500_000 : 500_000 + WINDOW_BYTES]
    assert below.reads[1:] == [(0, WINDOW_BYTES), (500_000, WINDOW_BYTES)]
    assert read(file, 3_000_000, 10) == read(file, 100, 0) == b""
    assert len(below.reads) == 3


def test_thread_reads_ahead_in_each_of_several_ranges_up_to_their_ends() -> None:
    below, block = Below(), AHEAD_BYTES
    file = opened(below)
    ends = {0: 2 * block + 700, 1_000_000: 1_000_000 + block, 2_000_000: 3_000_000}
    file.stream([(start, end - start) for start, end in ends.items()])
    for step in range(3):
        for start, end in ends.items():
            position = start + step * block
            size = min(block, end - position)
            if size > 0:
                assert read(file, position, size) == CONTENT[position : position + size]
    file.close()
    assert sorted(below.reads)[:4] == [(0, block), (block, block), (2 * block, 700), (1_000_000, block)]
    assert len(below.reads) == len(set(below.reads))


@pytest.mark.parametrize("size", [AHEAD_BYTES - 5, AHEAD_BYTES, AHEAD_BYTES + 5, 5 * AHEAD_BYTES])
def test_reads_of_another_size_than_expected_are_whole(size: int) -> None:
    file = opened(Below())
    file.stream([(0, 2_000_000)])
    assert read(file, 0, AHEAD_BYTES) == CONTENT[:AHEAD_BYTES]
    assert read(file, AHEAD_BYTES, size) == CONTENT[AHEAD_BYTES : AHEAD_BYTES + size]
    following = AHEAD_BYTES + size
    assert read(file, following, AHEAD_BYTES) == CONTENT[following : following + AHEAD_BYTES]
    file.hold([(100, 10)])
    assert read(file, 100, 10) == CONTENT[100:110]
    file.close()
