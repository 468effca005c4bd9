"""Pages of parquet files: how many bytes Arrow will hold, from the headers of the pages.

Arrow decompresses a page as a whole, and expands the values of a dictionary when it makes a batch. The sizes in the
footer do not show either, and where the footer is damaged Arrow ends the process. So the headers are read here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.native.binding import library
from tasks.engine.formats.thrift_structs import Struct, Value, end_of_fields, read_list, read_struct

_SCHEMA, _CHILDREN, _CONVERTED_TYPE = 2, 5, 6
_ROW_GROUPS, _CHUNKS, _METADATA, _ENCRYPTION = 4, 1, 3, 8
_PHYSICAL_TYPE, _CODEC, _VALUES, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 1, 4, 5, 7, 9, 11
_KIND, _SIZE, _COMPRESSED_SIZE, _DATA_HEADER, _DICTIONARY_HEADER, _DATA_HEADER_V2 = 1, 2, 3, 5, 7, 8
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_HEADERS = {_DATA: _DATA_HEADER, _DICTIONARY: _DICTIONARY_HEADER, _DATA_V2: _DATA_HEADER_V2}
_BYTE_ARRAY = 6
_DELTA_BYTE_ARRAY = 7
_CODECS = {0: "", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
"""Arrow's names of the codecs that it offers outside of files, by their numbers in the footer."""

_new_codec: Any = pa.Codec  # its type hint takes no variable

_HEADER_BYTES = (1 << 10, 1 << 16, 16 << 20)
"""How much is read for a page's header: statistics may make it long."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of a row group.

    Attributes:
        start: Where its pages begin in the file.
        size: The bytes of its pages in the file.
        value_count: How many values it has, nulls included.
        has_lengths: Whether its values differ in length.
        codec: Arrow's name of the codec of its pages. Empty: no compression. None: Arrow has the codec only in files.
        is_encrypted: Whether its pages are encrypted. The other attributes are then without meaning.
    """

    start: int
    size: int
    value_count: int
    has_lengths: bool
    codec: str | None
    is_encrypted: bool = False


@dataclass(frozen=True)
class Dictionary:
    """The page with the distinct values of a column of a row group.

    Attributes:
        start: Where its bytes begin in the file.
        stored_size: Their number in the file.
        size: Their number after decompression.
        count: How many values it has.
    """

    start: int
    stored_size: int
    size: int
    count: int


@dataclass(frozen=True)
class ChunkSizes:
    """Sizes of the pages of a column of a row group.

    Attributes:
        page: Bytes of the largest page, in the file and decompressed.
        value: Mean bytes of a value in the page with the largest values.
        dictionary: The page of the dictionary; None without a dictionary.
    """

    page: int
    value: int
    dictionary: Dictionary | None = None

    @property
    def dictionary_mean(self) -> int:
        """Mean bytes of a value of the dictionary; 0 without a dictionary."""
        return -(-self.dictionary.size // self.dictionary.count) if self.dictionary else 0

    def dictionary_value(self, chunk: Chunk) -> int:
        """Return the most bytes that a value of the dictionary can have; 0 without a dictionary."""
        if not (page := self.dictionary):
            return 0
        # Each value of a text takes 4 bytes for its length.
        return max(page.size - 4 * page.count if chunk.has_lengths else page.size // page.count, 1)


def chunks_of(footer: bytes, leaves: Collection[int]) -> list[dict[int, Chunk]]:
    """Return some leaves of each row group, by their places. A row group may lack some of them.

    Raises:
        UnreadableObjectError: The footer is damaged.
    """
    return [_chunks(_structs(group, _CHUNKS), leaves) for group in read_list(footer, _ROW_GROUPS)]


def _chunks(columns: Sequence[Struct], leaves: Collection[int]) -> dict[int, Chunk]:
    return {leaf: _chunk(columns[leaf]) for leaf in leaves if leaf < len(columns)}


def converted_types(footer: bytes) -> list[Value | None]:
    """Return the converted type of each leaf of the schema, which old readers use instead of the logical type.

    Raises:
        UnreadableObjectError: The footer is damaged.
    """
    elements = list(read_list(footer, _SCHEMA))[1:]
    return [element.get(_CONVERTED_TYPE) for element in elements if not element.get(_CHILDREN)]


def without_row_groups(footer: bytes, key: bytes, value: bytes) -> bytes:
    """Return a footer with the same schema, no row group and one entry of metadata, which takes little memory.

    Args:
        footer: The footer.
        key: The key of the entry.
        value: Its value.

    Returns:
        The footer; unchanged if its fields are not in the usual order.

    Raises:
        UnreadableObjectError: The footer is damaged.
    """
    end = end_of_fields(footer, _ROW_GROUPS)
    texts = b"".join(b"\x18" + _varint(len(text)) + text for text in (key, value))
    return footer[:end] + b"\x19\x0c\x19\x1c" + texts + b"\0\0" if end else footer


def _varint(number: int) -> bytes:
    low = (number >> shift & 127 for shift in range(0, max(number.bit_length(), 1), 7))
    bytes_ = [one | 128 for one in low]
    return bytes([*bytes_[:-1], bytes_[-1] & 127])


def sizes_of(file: Any, chunk: Chunk) -> ChunkSizes:
    """Read the headers of a column's pages.

    Raises:
        UnreadableObjectError: A header is damaged.
    """
    page = value = 0
    dictionary = None
    for header, start in _headers(file, chunk):
        kind, size, stored = _integer(header, _KIND), _integer(header, _SIZE), _integer(header, _COMPRESSED_SIZE)
        page = max(page, size + stored)
        if kind not in _HEADERS:
            continue
        details = _struct(header, _HEADERS[kind])
        count = max(_integer(details, 1), 1)
        if kind == _DICTIONARY:
            dictionary = Dictionary(start, stored, size, count)
            continue
        encoding = _integer(details, 2 if kind == _DATA else 4)
        # A value that is a prefix of the one before takes nearly no bytes of its page.
        value = max(value, size if encoding == _DELTA_BYTE_ARRAY else -(-size // count))
    return ChunkSizes(page, value, dictionary)


def longest_text(file: Any, page: Dictionary, codec: str) -> int:
    """Return the length of the longest text in a dictionary.

    Raises:
        UnreadableObjectError: The page is damaged.
        pyarrow.ArrowException: The codec cannot decompress the page.
    """
    file.seek(page.start)
    stored = file.read(page.stored_size)
    plain = _new_codec(codec).decompress(stored, page.size, asbytes=True) if codec else stored
    longest = int(library.page_longest(plain, len(plain)))
    if longest < 0:
        raise UnreadableObjectError("expected whole texts in the dictionary of a column, found a text that is cut off")
    return longest


def _chunk(column: Struct) -> Chunk:
    if _ENCRYPTION in column:
        return Chunk(0, 0, 0, has_lengths=False, codec=None, is_encrypted=True)
    metadata = _struct(column, _METADATA)
    data, dictionary = _integer(metadata, _DATA_OFFSET), _integer(metadata, _DICTIONARY_OFFSET, 0)
    start = dictionary if 0 < dictionary < data else data
    size, count = _integer(metadata, _COMPRESSED), _integer(metadata, _VALUES)
    if min(start, size, count) < 0:
        raise UnreadableObjectError(f"expected positions and sizes in the footer, found {(start, size, count)}")
    is_text = _integer(metadata, _PHYSICAL_TYPE) == _BYTE_ARRAY
    return Chunk(start, size, count, is_text, _CODECS.get(_integer(metadata, _CODEC)))


def _headers(file: Any, chunk: Chunk) -> Iterator[tuple[Struct, int]]:
    """Yield the header of each page, and where the page's bytes begin."""
    position, end = chunk.start, chunk.start + chunk.size
    found = 0
    while position < end and found < chunk.value_count:
        header, length = _header(file, position, end)
        if (compressed := _integer(header, _COMPRESSED_SIZE)) < 0 or _integer(header, _SIZE) < 0:
            raise UnreadableObjectError("expected the size of a page in its header, found a negative number")
        position += length
        kind = _integer(header, _KIND)
        if kind in (_DATA, _DATA_V2):
            found += max(_integer(_struct(header, _HEADERS[kind]), 1), 0)
        yield header, position
        position += compressed


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
