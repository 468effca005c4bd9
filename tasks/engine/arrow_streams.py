"""What Arrow reads: compressed bytes, and its errors as ours."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from tasks.engine.errors import UnreadableObjectError

Compression = Literal["gzip", "zstd"]


def decompressed(file: io.BufferedReader, compression: Compression | None) -> Any:
    """The file, or one over what it holds compressed."""
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) if compression else file


@contextmanager
def errors_of_bytes(name: str) -> Iterator[None]:
    """Say of bytes that cannot be decompressed or are no parquet which object they are.

    Raises:
        UnreadableObjectError: In place of the library's error.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise UnreadableObjectError(
            f"{name} cannot be read: {error}; nothing of it was loaded. Have it delivered again, whole"
        ) from error
