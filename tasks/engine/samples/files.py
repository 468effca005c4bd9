"""Sample files: one file of a supplier, in the lake or on this machine."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tasks.engine.errors import ParameterError, UnreadableObjectError
from tasks.engine.formats.batches import CHUNK_BYTES
from tasks.engine.formats.magic_numbers import magic_of
from tasks.engine.formats.object_formats import COMPRESSIONS

BEGIN_BYTES = 1 << 20
"""Number of bytes that decide the format and the dialect."""

PARQUET = b"PAR1"
"""The first bytes of a parquet file."""

KINDS = {
    ".csv": ".csv",
    ".tsv": ".csv",
    ".tab": ".csv",
    ".psv": ".csv",
    ".txt": ".csv",
    ".dat": ".csv",
    ".data": ".csv",
    ".asc": ".csv",
    ".json": ".json",
    ".geojson": ".json",
    ".ndjson": ".ndjson",
    ".jsonl": ".ndjson",
    ".parquet": ".parquet",
    ".pq": ".parquet",
}
"""The reader of a file by the suffix of its name."""


@dataclass(frozen=True)
class SampleFile:
    """A file that can be read several times.

    Attributes:
        uri: Address or path of the file, for messages.
        key: Path of the file in its bucket. Of a local file, its name and the folders with the date of its partition.
        size_bytes: Size of the file.
        opened: Opens the file at its first byte.
        bucket: Bucket of the file; empty for a local file.
    """

    uri: str
    key: str
    size_bytes: int
    opened: Callable[[], AbstractContextManager[io.BufferedReader]]
    bucket: str = ""

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of the name in lower case, without the suffix of a compression; empty if it has none."""
        stem = self.name
        for compression in COMPRESSIONS:
            stem = stem.removesuffix(compression)
        return f".{stem.rpartition('.')[2].lower()}" if "." in stem else ""

    @property
    def compression(self) -> Any:
        """The compression by the suffix of the name; None for a plain file."""
        return next((codec for suffix, codec in COMPRESSIONS.items() if self.name.endswith(suffix)), None)

    def begin(self, size: int = BEGIN_BYTES) -> bytes:
        """Return the first decompressed bytes.

        Raises:
            ParameterError: The file is empty.
            UnreadableObjectError: The file cannot be decompressed.
        """
        with decompressed_of(self) as file:
            data = bytes(file.read(size))
        if not data.strip():
            raise ParameterError(f"{self.uri}: expected a sample with at least one row, found an empty file")
        return data


@contextmanager
def decompressed_of(file: SampleFile) -> Iterator[Any]:
    """Open a file and decompress it.

    Raises:
        UnreadableObjectError: The file cannot be decompressed.
    """
    with file.opened() as opened:
        if not file.compression:
            yield opened
            return
        streams = import_module("tasks.engine.formats.compressed_streams")
        with streams.errors_of_bytes(file.uri):
            yield io.BufferedReader(streams.decompressed(opened, file.uri, file.compression, CHUNK_BYTES))


def kind_of(file: SampleFile, begin: bytes) -> str:
    """Return the format of a file by its first bytes and the suffix of its name: one of the values of `KINDS`.

    Raises:
        ParameterError: Neither the bytes nor the suffix show a format that Tally reads.
    """
    if magic := magic_of(begin):
        kind, found, what = magic
        if kind == "parquet":
            return ".parquet"
        if kind:  # the name gives the compression of a sample
            what = f"Let the name of the file end with {'.gz' if kind == 'gzip' else '.zst'}"
        raise _unknown(file, found, what)
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"[" or (text[:1] == b"{" and not _is_one_object_a_line(text, file.suffix)):
        return ".json"
    if text[:1] == b"{":
        return ".ndjson"
    if text[:1] == b"<":
        raise _unknown(file, "XML or HTML")
    if KINDS.get(file.suffix, ".csv") != ".csv":
        raise _unknown(file, f"a file with the suffix {file.suffix} and another content")
    return ".csv"


def _unknown(file: SampleFile, found: str, what: str = "Deliver the data in one of these formats") -> ParameterError:
    return ParameterError(f"{file.uri}: expected CSV, fixed width, JSON, NDJSON or parquet, found {found}. {what}")


def _is_one_object_a_line(text: bytes, suffix: str) -> bool:
    """A single object is a document, unless the suffix says that each line is a record."""
    first, _, rest = text.partition(b"\n")
    is_line = first.rstrip().endswith(b"}")
    return is_line and (rest.lstrip()[:1] == b"{" or (not rest.strip() and KINDS.get(suffix) != ".json"))


def complete_lines(data: bytes, file: SampleFile) -> bytes:
    """Return the bytes up to the last line end, or all bytes where they are the whole file.

    Raises:
        UnreadableObjectError: The first line is longer than the bytes.
    """
    if len(data) < BEGIN_BYTES:
        return data
    end = data.rfind(b"\n") + 1
    if not end:
        raise UnreadableObjectError(f"{file.uri}: expected lines of at most {BEGIN_BYTES:,} bytes, found a longer one")
    return data[:end]
