"""Compressed streams are decompressed piece by piece, within the memory of a load."""

import gzip
import io
import random
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from tasks.contracts.formats import Compression
from tasks.engine.errors import MemoryLimitError
from tasks.engine.formats.compressed_streams import READ_BYTES, SMALLEST_WINDOW, WINDOW_CHUNKS, decompressed
from tasks.engine.settings import SMALLEST_CHUNK

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}


def opened(data: bytes, compression: Compression, chunk_bytes: int = SMALLEST_CHUNK) -> io.RawIOBase:
    return decompressed(io.BufferedReader(io.BytesIO(data)), "x", compression, chunk_bytes)  # type: ignore[arg-type]


def with_window(bits: int) -> bytes:
    """A zstd stream that declares a window of 2 ** bits bytes. It declares no size, as streams of a pipe do."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: bits})
    return compressor.compress(b"a,b,c\n") + compressor.flush()


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("size", [1, 10, 1000, 1 << 20])
def test_reads_return_at_least_half_of_their_size_up_to_the_end(compression: Compression, size: int) -> None:
    texts = [b"%d," % number * (number % 50) for number in range(300)]
    data = b"".join(COMPRESS[compression](text) for text in texts)
    file, expected = opened(data, compression), b"".join(texts)
    found = b""
    while piece := file.read(size):
        assert len(piece) <= size
        found += piece
        assert len(piece) >= size // 2 or found == expected
    assert found == expected
    assert file.read(size) == b""


@pytest.mark.parametrize("compression", COMPRESS)
def test_values_that_compress_well_are_not_expanded_at_once(compression: Compression) -> None:
    file = opened(COMPRESS[compression](bytes(20 << 20)), compression)
    pieces = []
    while piece := file.read(1 << 16):
        pieces.append(len(piece))
    assert max(pieces) <= 1 << 16
    assert sum(pieces) == 20 << 20


def with_all_fields(data: bytes) -> bytes:
    """A gzip stream whose header has extra fields, a name, a comment and a checksum of its own."""
    header = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03" + b"\x06\0BC\x02\0ab" + b"things.csv\0" + b"comment\0"
    return header + zlib.crc32(header).to_bytes(4, "little")[:2] + gzip.compress(data)[10:]


def test_header_of_a_later_stream_may_begin_in_one_read_and_end_in_the_next() -> None:
    data = random.Random(1).randbytes(READ_BYTES)  # noqa: S311 - the same bytes in each run
    second = with_all_fields(b"second")
    for in_first_read in range(len(second)):
        text = data[: READ_BYTES - in_first_read - 43]
        first = gzip.compress(text, 0)
        assert len(first) == READ_BYTES - in_first_read
        assert opened(first + second, "gzip").read(2 * READ_BYTES) == text + b"second"


@pytest.mark.parametrize("compression", COMPRESS)
def test_buffered_file_reads_lines(compression: Compression) -> None:
    lines = [b"%d\n" % random.Random(number).randrange(1 << 60) for number in range(5000)]  # noqa: S311 - repeatable
    file = io.BufferedReader(opened(COMPRESS[compression](b"".join(lines)), compression))
    assert file.peek(1)[:1] == lines[0][:1]
    assert list(file) == lines


@pytest.mark.parametrize("chunk_bytes", [SMALLEST_CHUNK, 1 << 20, 5 << 20])
def test_zstd_window_has_a_limit_that_follows_from_the_memory_of_the_load(chunk_bytes: int) -> None:
    bits = max(WINDOW_CHUNKS * chunk_bytes, SMALLEST_WINDOW).bit_length() - 1
    assert opened(with_window(bits), "zstd", chunk_bytes).read(100) == b"a,b,c\n"
    with pytest.raises(MemoryLimitError, match=r"^x: expected a zstd stream with a window of at most .*LOAD_MEMORY_MB"):
        opened(with_window(bits + 1), "zstd", chunk_bytes).read(100)


def test_zstd_stream_of_level_19_fits_into_the_smallest_memory() -> None:
    compressor = zstd.ZstdCompressor(19)
    data = compressor.compress(bytes(9 << 20)) + compressor.flush()
    file = opened(data, "zstd")
    assert sum(map(len, iter(lambda: file.read(1 << 20), b""))) == 9 << 20
