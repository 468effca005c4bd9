"""What Arrow reads: compressed bytes, and Arrow's errors as `UnreadableObjectError`."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from tasks.engine.errors import UnreadableObjectError

Compression = Literal["gzip", "zstd"]


def decompressed(file: io.BufferedReader, compression: Compression | None) -> Any:
    """The file, or one over what it holds compressed.

    Raises:
        UnreadableObjectError: The file has no bytes. A stream without content still has a header.
    """
    if not compression:
        return file
    if not file.peek(1):
        raise UnreadableObjectError(f"expected a {compression} stream, found 0 bytes")
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), compression)


@contextmanager
def errors_of_bytes(name: str) -> Iterator[None]:
    """Name the object whose bytes a library cannot read.

    Raises:
        UnreadableObjectError: In place of the library's error.
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
        f"{name} cannot be read: {error}; nothing of it was loaded. Have it delivered again, whole"
    )
