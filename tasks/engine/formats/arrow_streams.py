"""Decompression with Arrow, and conversion of Arrow's errors into `UnreadableObjectError`."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from tasks.engine.errors import UnreadableObjectError

Compression = Literal["gzip", "zstd"]


def decompressed(file: io.BufferedReader, compression: Compression | None) -> Any:
    """Return a file with the decompressed content, or the file itself if it is not compressed.

    Raises:
        UnreadableObjectError: The file is empty. Even a stream without content has a header.
    """
    if not compression:
        return file
    if not file.peek(1):
        raise UnreadableObjectError(f"expected a {compression} stream, found 0 bytes")
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), compression)


@contextmanager
def errors_of_bytes(name: str) -> Iterator[None]:
    """Convert errors of a parser in the block into errors that name the object.

    Raises:
        UnreadableObjectError: Replaces the library's error.
    """
    try:
        yield
    except UnreadableObjectError as error:
        if name in str(error):
            raise
        raise _unreadable(name, error) from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> UnreadableObjectError:
    return UnreadableObjectError(
        f"{name} cannot be read: {error}. Nothing was loaded. Deliver the complete object again"
    )
