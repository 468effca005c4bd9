"""Pages of parquet files: how many bytes Arrow will hold, from the headers of the pages.

Arrow decompresses a page as a whole, and expands the values of a dictionary when it makes a batch. The sizes in the
footer do not show either, and where the footer is damaged Arrow ends the process. So the headers are read here.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.thrift_structs import Struct, read_struct

_ROW_GROUPS, _CHUNKS, _METADATA = 4, 1, 3
_PHYSICAL_TYPE, _VALUES, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 1, 5, 7, 9, 11
_KIND, _SIZE, _COMPRESSED_SIZE, _DATA_HEADER, _DICTIONARY_HEADER, _DATA_HEADER_V2 = 1, 2, 3, 5, 7, 8
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_HEADERS = {_DATA: _DATA_HEADER, _DICTIONARY: _DICTIONARY_HEADER, _DATA_V2: _DATA_HEADER_V2}
_BYTE_ARRAY = 6
_DELTA_BYTE_ARRAY = 7
_HEADER_BYTES = (1 << 10, 1 << 16, 16 << 20)
"""How much is read for a page's header: statistics may make it long."""


@dataclass(frozen=True)
class Chunk:
    """One column of a row group.

    Attributes:
        start: Where its pages begin in the file.
        size: The bytes of its pages in the file.
        value_count: How many values it has, nulls included.
        has_lengths: Whether its values differ in length.
    """

    start: int
    size: int
    value_count: int
    has_lengths: bool


@dataclass(frozen=True)
class ChunkSizes:
    """Sizes of the pages of a column of a row group.

    Attributes:
        page: Bytes of the largest page, in the file and decompressed.
        value: Bytes of a value in the page with the largest values, on the average.
        dictionary_value: The most bytes that a value of the dictionary can have; 0 without a dictionary.
    """

    page: int
    value: int
    dictionary_value: int


def chunks_of(footer: bytes) -> list[list[Chunk]]:
    """Return the columns of each row group.

    Raises:
        UnreadableObjectError: The footer is damaged.
    """
    metadata, _ = read_struct(footer)
    return [[_chunk(column) for column in _structs(group, _CHUNKS)] for group in _structs(metadata, _ROW_GROUPS)]


def sizes_of(file: Any, chunk: Chunk) -> ChunkSizes:
    """Read the headers of a column's pages.

    Raises:
        UnreadableObjectError: A header is damaged.
    """
    page = value = dictionary = 0
    for header in _headers(file, chunk):
        kind, size = _integer(header, _KIND), _integer(header, _SIZE)
        page = max(page, size + _integer(header, _COMPRESSED_SIZE))
        if kind not in _HEADERS:
            continue
        details = _struct(header, _HEADERS[kind])
        count = max(_integer(details, 1), 1)
        if kind == _DICTIONARY:
            # Each value of a text takes 4 bytes for its length.
            dictionary = max(size - 4 * count if chunk.has_lengths else size // count, 1)
            continue
        encoding = _integer(details, 2 if kind == _DATA else 4)
        # A value that is a prefix of the one before takes nearly no bytes of its page.
        value = max(value, size if encoding == _DELTA_BYTE_ARRAY else -(-size // count))
    return ChunkSizes(page, value, dictionary)


class RangeFile(io.RawIOBase):
    """A seekable file that holds some of its ranges in memory.

    Args:
        file: The file. Each read of it may be a request.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._position = 0
        self._held: list[tuple[int, bytes]] = []

    def hold(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read ranges (position and size) into memory instead of those that were held."""
        self._held = []
        for position, size in ranges:
            self._file.seek(position)
            self._held.append((position, self._file.read(size)))

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
        for start, data in self._held:
            if start <= self._position and end <= start + len(data):
                found = data[self._position - start : end - start]
                break
        else:
            self._file.seek(self._position)
            found = self._file.read(max(end - self._position, 0))
        self._position += len(found)
        return found


def _chunk(column: Struct) -> Chunk:
    metadata = _struct(column, _METADATA)
    data, dictionary = _integer(metadata, _DATA_OFFSET), _integer(metadata, _DICTIONARY_OFFSET, 0)
    start = dictionary if 0 < dictionary < data else data
    size, count = _integer(metadata, _COMPRESSED), _integer(metadata, _VALUES)
    if min(start, size, count) < 0:
        raise UnreadableObjectError(f"expected positions and sizes in the footer, found {(start, size, count)}")
    return Chunk(start, size, count, _integer(metadata, _PHYSICAL_TYPE) == _BYTE_ARRAY)


def _headers(file: Any, chunk: Chunk) -> Iterator[Struct]:
    position, end = chunk.start, chunk.start + chunk.size
    found = 0
    while position < end and found < chunk.value_count:
        header, length = _header(file, position, end)
        if (compressed := _integer(header, _COMPRESSED_SIZE)) < 0 or _integer(header, _SIZE) < 0:
            raise UnreadableObjectError("expected the size of a page in its header, found a negative number")
        position += length + compressed
        kind = _integer(header, _KIND)
        if kind in (_DATA, _DATA_V2):
            found += max(_integer(_struct(header, _HEADERS[kind]), 1), 0)
        yield header


def _header(file: Any, position: int, end: int) -> tuple[Struct, int]:
    for size in _HEADER_BYTES:
        file.seek(position)
        data = file.read(min(size, end - position))
        try:
            return read_struct(data)
        except UnreadableObjectError:
            if len(data) < size or size == _HEADER_BYTES[-1]:
                raise
    raise AssertionError("the last size returns or raises")


def _integer(struct: Struct, field: int, default: int | None = None) -> int:
    value = struct.get(field, default)
    if not isinstance(value, int):
        raise UnreadableObjectError(f"expected an integer as field {field} of a parquet header, found {type(value)}")
    return value


def _struct(struct: Struct, field: int) -> Struct:
    value = struct.get(field)
    if not isinstance(value, dict):
        raise UnreadableObjectError(f"expected a struct as field {field} of a parquet header, found {type(value)}")
    return value


def _structs(struct: Struct, field: int) -> list[Struct]:
    values = struct.get(field)
    if not isinstance(values, list):
        raise UnreadableObjectError(f"expected a list as field {field} of a parquet header, found {type(values)}")
    found = [value for value in values if isinstance(value, dict)]
    if len(found) != len(values):
        raise UnreadableObjectError(f"expected structs in field {field} of a parquet header, found other values")
    return found
