"""Compressed streams: decompress gzip and zstd piece by piece, in bounded memory."""

import io
import re
from contextlib import AbstractContextManager
from typing import Any

from backports import zstd
from isal import igzip_lib

from tasks.contracts.formats import Compression
from tasks.engine.errors import MemoryLimitError, UnreadableObjectError
from tasks.engine.formats.unreadable_bytes import errors_as

READ_BYTES = 1 << 18
"""Compressed bytes that are read at once."""

HEADER_BYTES = 1 << 12
"""A stream begins with at least so many bytes: igzip fails if a header with several optional fields comes in parts."""

WINDOW_CHUNKS, SMALLEST_WINDOW = 24, 8 << 20
"""The limit of the window of a zstd stream, which is in memory as a whole: the size of this many chunks, and at least
the size that level 19 of zstd uses."""

_BEGINS = {
    "gzip": re.compile(rb"\x1f(?:\x8b|\Z)"),
    "zstd": re.compile(rb"\x28(?:\xb5|\Z)|[\x50-\x5f](?:\x2a|\Z)"),
}
"""How a stream begins. A truncated object may end inside it. zstd has frames to skip, which contain no data."""

_TOO_LARGE = "too much memory"
"""Part of the library's message about a window beyond the limit."""


_GZIP_ERROR: Any = igzip_lib.error  # the library's type hint names an instance


def errors_of_bytes(name: str) -> AbstractContextManager[None]:
    """Convert errors of a decompressor in the block into `UnreadableObjectError`."""
    return errors_as(name, EOFError, _GZIP_ERROR, zstd.ZstdError)


def decompressed(file: io.BufferedReader, name: str, compression: Compression, chunk_bytes: int) -> "DecompressedFile":
    """Return a file with the decompressed content of another file.

    Args:
        file: The compressed bytes.
        name: The object, for the messages.
        compression: Its compression.
        chunk_bytes: Approximate size of a batch of the load, which bounds the memory.

    Raises:
        UnreadableObjectError: The file is empty. Even a stream without content has a header.
    """
    if not file.peek(1):
        raise UnreadableObjectError(f"expected a {compression} stream, found 0 bytes")
    return DecompressedFile(file, name, compression, max(chunk_bytes * WINDOW_CHUNKS, SMALLEST_WINDOW))


class DecompressedFile(io.RawIOBase):
    """The decompressed content of a file with one stream, or with several streams one after the other.

    Args:
        file: The compressed bytes.
        name: The object, for the messages.
        compression: Its compression.
        most_window: Maximum size of the window of a zstd stream in bytes.
    """

    def __init__(self, file: io.BufferedReader, name: str, compression: Compression, most_window: int) -> None:
        self._file, self._name, self._compression, self._most_window = file, name, compression, most_window
        self._stream: Any = self._new()

    def _new(self) -> Any:
        """Return the decompressor of one stream. Both libraries have the same interface, that of `bz2`."""
        if self._compression == "gzip":
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        bits = self._most_window.bit_length() - 1
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: bits})

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill at least half of a buffer with the next bytes. Fill less only at the end of the file."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at least half of `size`. Return fewer bytes only at the end of the file.

        Raises:
            EOFError: The file ends inside a stream, or a stream ends before the file does.
            MemoryLimitError: The window of a zstd stream is too large for the memory of a load.
        """
        pieces: list[bytes] = []
        missing = size if size >= 0 else READ_BYTES
        while missing > size // 2:
            piece = self._piece(missing)
            if piece is None:
                break
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, size: int) -> bytes | None:
        """Return some next bytes of the content, maybe none. Return None at the end of the file."""
        given = b""
        if self._stream.eof:
            given = self._stream.unused_data
            if len(given) < HEADER_BYTES:
                given += self._file.read(READ_BYTES)
            if not given:
                return None
            if not _BEGINS[self._compression].match(given):
                raise EOFError(
                    f"expected the end of the object or another stream after a {self._compression} stream, found other"
                    " bytes"
                )
            self._stream = self._new()
        elif self._stream.needs_input:
            given = self._file.read(READ_BYTES)
            if not given:
                raise EOFError(f"the {self._compression} stream is truncated")
        try:
            return bytes(self._stream.decompress(given, size))
        except zstd.ZstdError as error:
            if _TOO_LARGE not in str(error):
                raise
            raise MemoryLimitError(
                f"{self._name}: expected a zstd stream with a window of at most {self._most_window >> 20} MB, which"
                " fits into LOAD_MEMORY_MB, found a larger window. Nothing was loaded. Have the object compressed with"
                " level 19 or a lower level and without --long, or raise LOAD_MEMORY_MB"
            ) from error
