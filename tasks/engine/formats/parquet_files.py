"""Parquet files: opens a file, and verifies its footer.

A page's checksum covers only the body of the page, and the footer has no checksum. So the types in the footer are
compared with their copy that Arrow's writer stores in the footer.
"""

import base64
import io
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.engine.errors import MemoryLimitError, UnreadableObjectError
from tasks.engine.formats.batches import CHUNK_BYTES
from tasks.engine.formats.parquet_pages import converted_types, without_row_groups
from tasks.engine.formats.parquet_values import longest_of
from tasks.engine.formats.range_file import RangeFile
from tasks.engine.formats.unreadable_bytes import errors_as

MAGIC = b"PAR1"
_TAIL_BYTES = 8
"""Size of the footer's length and the magic bytes after it."""

_END_BYTES = 1 << 16
"""The end of the file that is read first. Most footers are in it, so they need no request of their own."""

FOOTER_CHUNKS, SMALLEST_FOOTER = 2, 4 << 20
"""The limit of the footer in bytes: the size of this many chunks, and at least this number. Arrow takes ten times the
size of a footer."""

_HELD_BUFFER, _STREAM_BUFFER = 1 << 16, 1 << 20
"""Arrow reads this many bytes at once: of a row group in memory, and at most of another one. Without a buffer, Arrow
would read a whole row group."""

_LARGE: dict[str, Any] = {"binary_type": pa.large_binary()}
"""Arrow makes large strings, which need no conversion afterwards."""

_CONVERTED_UNITS = {"ms": 9, "us": 10}
"""Converted types of timestamps by their unit. Nanoseconds have none."""

_SCHEMA_KEY = b"ARROW:schema"
_OTHER_KEY = b"arrow:schema"


@dataclass(frozen=True)
class ParquetObject:
    """An opened parquet file.

    Attributes:
        file: Reads the columns with parquet's own types. Arrow's schema is hidden from the reader: with the schema, a
            single string that is not UTF-8 would make Arrow refuse its whole dictionary column.
        schema: The columns with the writer's types, such as time zones.
        leaves: The indexes of the leaves of each column in the file.
        footer: The bytes of the footer.
        ranges: The bytes of the file. Some ranges may be held in memory.
    """

    file: pq.ParquetFile
    schema: pa.Schema
    leaves: tuple[tuple[int, ...], ...]
    footer: bytes
    ranges: RangeFile

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema.names)


def errors_of_bytes(name: str) -> AbstractContextManager[None]:
    """Convert errors of Arrow in the block into `UnreadableObjectError`."""
    return errors_as(name, pa.ArrowException)


def open_parquet(file: io.BufferedReader, name: str, chunk_bytes: int = CHUNK_BYTES) -> ParquetObject:
    """Open a parquet file. The reader verifies the checksums of pages.

    Args:
        file: The file.
        name: The object, for the message.
        chunk_bytes: Approximate size of a batch in bytes, from which the limit of the footer follows.

    Raises:
        MemoryLimitError: The footer is too large for the memory of a load.
        UnreadableObjectError: The footer is missing or damaged.
        pyarrow.ArrowException: Arrow cannot parse the footer.
    """
    size = file.seek(0, os.SEEK_END)
    footer = _read_footer(file, size, name, max(chunk_bytes * FOOTER_CHUNKS, SMALLEST_FOOTER))
    plain = _metadata(footer.replace(_SCHEMA_KEY, _OTHER_KEY))
    arrow_schema = (plain.metadata or {}).get(_OTHER_KEY, b"")
    written = _metadata(without_row_groups(footer, _SCHEMA_KEY, arrow_schema)) if arrow_schema else plain
    ranges = RangeFile(file)
    parquet = _opened(ranges, plain, _HELD_BUFFER, **_LARGE)
    leaves = _leaves(parquet.schema_arrow)
    opened = ParquetObject(parquet, written.schema.to_arrow_schema(), leaves, footer, ranges)
    _check_types(opened, written)
    return opened


def open_stream(parquet: ParquetObject, leaf_count: int, most_bytes: int) -> pq.ParquetFile:
    """Open a file again to read row groups that are not in memory, with as few reads as the memory allows.

    Args:
        parquet: The file.
        leaf_count: Number of leaves to read. Each leaf has a buffer, and the file reads the size of one buffer ahead.
        most_bytes: Maximum size of all buffers.
    """
    buffer_bytes = min(max(most_bytes // (2 * leaf_count), _HELD_BUFFER), _STREAM_BUFFER)
    return _opened(parquet.ranges, parquet.file.metadata, buffer_bytes, **_LARGE)


def decoded_longest_text(parquet: ParquetObject, group: int, leaf: int) -> int:
    """Return the length of the longest text in the dictionary of a column of texts, as Arrow decodes it.

    Args:
        parquet: The file.
        group: The place of the row group.
        leaf: The place of the column's leaf.
    """
    path = parquet.file.schema.column(leaf).path
    encoded = _opened(parquet.ranges, parquet.file.metadata, _HELD_BUFFER, read_dictionary=[path])
    batch = next(encoded.reader.iter_batches(1, row_groups=[group], column_indices=[leaf]), None)
    if batch is None:
        return 0
    values: Any = batch.column(0)
    while not pa.types.is_dictionary(values.type) and hasattr(values, "values"):
        values = values.values
    return longest_of(values.dictionary if pa.types.is_dictionary(values.type) else values)


def check_counts(parquet: ParquetObject, row_count: int, levels: Mapping[int, int]) -> None:
    """Compare the rows and values that were read with the counts in the footer.

    Call it after the columns were read. Reading shows that the footer's part about these columns is valid. If that part
    is damaged, pyarrow ends the process.

    Args:
        parquet: The file.
        row_count: Number of rows that were read.
        levels: Number of entries that were read of each column, by the column's index.

    Raises:
        UnreadableObjectError: The counts differ.
    """
    metadata = parquet.file.metadata
    if row_count != metadata.num_rows:
        raise UnreadableObjectError(f"expected the {metadata.num_rows:,} rows of the footer, found {row_count:,}")
    for position, found in levels.items():
        leaf = parquet.leaves[position][0]
        counts = [metadata.row_group(group).column(leaf).num_values for group in range(metadata.num_row_groups)]
        if sum(counts) != found:
            raise UnreadableObjectError(
                f"expected {sum(counts):,} values in column {parquet.names[position]}, found {found:,}"
            )


def _opened(ranges: RangeFile, metadata: pq.FileMetaData, buffer_bytes: int, **options: Any) -> pq.ParquetFile:
    # Pre-buffering is off, because it would read the whole object into memory before the first batch.
    return pq.ParquetFile(
        pa.PythonFile(ranges, "r"),
        metadata=metadata,
        **options,
        buffer_size=buffer_bytes,
        pre_buffer=False,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit="us",  # nanoseconds hold the years from 1678 to 2261 only
    )


def _read_footer(file: io.BufferedReader, size: int, name: str, most: int) -> bytes:
    if size < _TAIL_BYTES + len(MAGIC):
        raise UnreadableObjectError(f"expected a parquet file, found {size:,} bytes")
    file.seek(max(size - _END_BYTES, 0))
    end = file.read(_END_BYTES)
    tail = end[-_TAIL_BYTES:]
    if tail[4:] != MAGIC:
        raise UnreadableObjectError(f"expected {MAGIC!r} at the end of a parquet file, found {tail[4:]!r}")
    length = int.from_bytes(tail[:4], "little")
    if length > size - _TAIL_BYTES - len(MAGIC):
        raise UnreadableObjectError(f"expected a footer within {size:,} bytes, found one of {length:,} bytes")
    if length > most:
        raise MemoryLimitError(
            f"{name}: expected a footer of at most {most >> 10:,} kB, which fits into LOAD_MEMORY_MB, found one of"
            f" {length >> 10:,} kB. Nothing was loaded. Have the object written with fewer row groups (in pyarrow: a"
            " larger row_group_size) or fewer columns, or raise LOAD_MEMORY_MB"
        )
    if length + _TAIL_BYTES <= len(end):
        return end[-_TAIL_BYTES - length : -_TAIL_BYTES]
    file.seek(size - _TAIL_BYTES - length)
    return file.read(length)


def _metadata(footer: bytes) -> pq.FileMetaData:
    return pq.read_metadata(io.BytesIO(MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC))


def _check_types(parquet: ParquetObject, metadata: pq.FileMetaData) -> None:
    """Refuse a footer with a schema that differs from the copy that Arrow's writer stored there."""
    encoded = (metadata.metadata or {}).get(_SCHEMA_KEY)
    if not encoded:
        return
    found = parquet.file.schema_arrow
    written = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(encoded, validate=True)))
    if len(written) != len(found):
        raise UnreadableObjectError(f"expected the {len(written):,} columns of Arrow's schema, found {len(found):,}")
    for one, other, leaves in zip(written, found, parquet.leaves, strict=True):
        differs = _differ(one.type, other.type) and not _is_converted(one.type, other.type, parquet, leaves[0])
        if (one.name, one.nullable) != (other.name, other.nullable) or differs:
            raise UnreadableObjectError(f"expected a column {one} by Arrow's schema, found {other}")


def _differ(written: pa.DataType, found: pa.DataType) -> bool:
    """Return whether a type that parquet and Arrow share differs between the two schemas."""
    if pa.types.is_timestamp(written):
        return not pa.types.is_timestamp(found) or (written.unit not in ("s", found.unit))
    same = (pa.types.is_signed_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_date32)
    is_plain = pa.types.is_decimal128(written) or any(is_one(written) for is_one in same)
    return is_plain and written != found


def _is_converted(written: pa.DataType, found: pa.DataType, parquet: ParquetObject, leaf: int) -> bool:
    """Return whether the writer converted timestamps into another unit: the footer states this unit twice.

    INT96 has no unit. Its values have another size, so a damaged physical type contradicts the pages.
    """
    if not (pa.types.is_timestamp(written) and pa.types.is_timestamp(found)):
        return False
    if parquet.file.schema.column(leaf).physical_type == "INT96":
        return True
    converted = converted_types(parquet.footer)
    return leaf < len(converted) and converted[leaf] == _CONVERTED_UNITS.get(found.unit, -1)


def _leaves(schema: pa.Schema) -> tuple[tuple[int, ...], ...]:
    ends = accumulate((_leaf_count(field.type) for field in schema), initial=0)
    return tuple(tuple(range(begin, end)) for begin, end in pairwise(ends))


def _leaf_count(type_: pa.DataType) -> int:
    if isinstance(type_, pa.BaseExtensionType):
        return _leaf_count(type_.storage_type)
    return sum(_leaf_count(type_.field(place).type) for place in range(type_.num_fields)) or 1
