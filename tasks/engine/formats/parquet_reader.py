"""Parquet: parses row groups into string columns, with every value in ISO notation.

Only the contract's columns are read and converted. Other columns may have any type.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.engine.errors import MemoryLimitError, UnreadableObjectError
from tasks.engine.formats.arrow_columns import string_columns_of_arrays
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch, match_columns
from tasks.engine.formats.csv_records import MAX_RECORD_BYTES
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.parquet_files import (
    ParquetObject,
    check_counts,
    decoded_longest_text,
    errors_of_bytes,
    open_parquet,
    open_stream,
)
from tasks.engine.formats.parquet_pages import Chunk, Dictionary, chunks_of, longest_text, sizes_of
from tasks.engine.formats.parquet_values import (
    LIST,
    check_paths,
    invalid_texts,
    level_count,
    longest_of,
    text_array,
    wanted_of,
)
from tasks.engine.formats.range_file import merged, size_of
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

PARQUET_ROWS = 131_072
"""Maximum number of rows that are read at once."""

DECODED_BYTES = 1 << 20
"""Usual size of the rows that are read at once. Larger batches do not stay in the processor's cache, and smaller ones
cost more for each row. Rows that are longer than the mean may take a chunk."""

FEW_ROWS = 32_768
"""Batches of fewer rows are joined up to that size before they are converted."""

ROW_BYTES = 128
"""Assumed minimum size of a row, for the size of a batch."""

HELD_CHUNKS = 6
"""A row group is held in memory if its compressed bytes are at most this many chunks: each byte is requested once. The
next row group is read ahead if both have at most this size."""

PAGE_CHUNKS = 24
"""The size limit in chunks of the pages that Arrow holds at the same time, both compressed and decompressed."""

SMALLEST_PAGES = 24 << 20
"""The lower bound of that limit in bytes: it leaves room for the longest text."""

_NOT_UTF8 = Reason(ReasonCode.NOT_UTF8, "not UTF-8")


def read_parquet(
    file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int, first_group: int = 0
) -> Iterator[Batch]:
    """Read parquet from a row group on; see `tasks.engine.formats.reader.read_batches`."""
    with errors_of_bytes(name):
        yield from _batches(file, name, contract, chunk_bytes, first_group)


def _batches(
    file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int, first_group: int
) -> Iterator[Batch]:
    parquet = open_parquet(file, name, chunk_bytes)
    with closing(parquet.ranges):
        yield from _batches_of(parquet, name, contract, chunk_bytes, first_group)


def _batches_of(
    parquet: ParquetObject, name: str, contract: Contract, chunk_bytes: int, first_group: int
) -> Iterator[Batch]:
    check_paths(contract, parquet.schema, name)
    columns = match_columns(contract, parquet.names, name)
    wanted = wanted_of(contract)
    first = 1 + sum(parquet.file.metadata.row_group(group).num_rows for group in range(first_group))
    levels = dict.fromkeys(columns.positions.values(), 0)
    for arrow in _read(parquet, columns, name, chunk_bytes, first_group):
        arrays = [
            text_array(
                arrow.column(place),
                parquet.schema.field(position).type,
                f"{name}, column {source}",
                wanted[source],
            )
            for place, (source, position) in enumerate(columns.positions.items())
        ]
        for (source, position), array in zip(columns.positions.items(), arrays, strict=True):
            _check_lengths(array, name, source, first)
            levels[position] += level_count(array)
        count = len(arrow)
        del arrow
        yield _batch(arrays, first, columns)
        del arrays, array
        first += count
    if not first_group:
        check_counts(parquet, first - 1, levels)


def _read(
    parquet: ParquetObject, columns: ColumnMatch, name: str, chunk_bytes: int, first_group: int
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the contract's columns, in the order of its sources."""
    positions = list(columns.positions.values())
    order = sorted(positions)
    leaves = [leaf for position in order for leaf in parquet.leaves[position]]
    groups = chunks_of(parquet.footer, leaves)[first_group : parquet.file.num_row_groups]
    _check_encryption(parquet, groups, name)
    for group, chunks in enumerate(groups, first_group):
        if len(chunks) < len(leaves):
            raise UnreadableObjectError(f"row group {group}: expected {len(leaves)} columns, found {len(chunks)}")
        file = _file_of(parquet, groups[group - first_group :][:2], chunk_bytes * HELD_CHUNKS)
        at_once = min(_rows_at_once(parquet, group, chunks, name, chunk_bytes), PARQUET_ROWS)
        # Columns are selected by index: several columns may share a name, and a name may be a prefix of another name.
        batches = file.reader.iter_batches(at_once, row_groups=[group], column_indices=leaves)
        for batch in batches if at_once >= FEW_ROWS else _joined(batches, min(chunk_bytes, DECODED_BYTES) // 2):
            batch.validate()
            arrays = [batch.column(order.index(position)) for position in positions]
            del batch  # nothing of a batch is held while the next one is decoded
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns.positions))
            del arrays


def _check_encryption(parquet: ParquetObject, groups: Iterable[Mapping[int, Chunk]], name: str) -> None:
    """Refuse an encrypted column.

    Raises:
        UnreadableObjectError: There is one.
    """
    for leaf in {leaf for group in groups for leaf, chunk in group.items() if chunk.is_encrypted}:
        raise UnreadableObjectError(
            f"{name}, column {parquet.file.schema.column(leaf).path}: expected values without encryption, found"
            " encrypted ones. Nothing was loaded. Have the object written without encryption of this column"
        )


def _file_of(parquet: ParquetObject, groups: Sequence[Mapping[int, Chunk]], most_bytes: int) -> pq.ParquetFile:
    """Return the file that reads the first of two row groups.

    The file holds the row group in memory, and reads the next one ahead, if there is room for them.
    """
    chunks = [[(chunk.start, chunk.size) for chunk in group.values()] for group in groups]
    held = [merged(ranges) for ranges in chunks]
    sizes = [size_of(ranges) for ranges in held]
    if sizes[0] > most_bytes:
        parquet.ranges.stream(chunks[0])
        return open_stream(parquet, len(chunks[0]), most_bytes)
    parquet.ranges.hold(held[0], held[1] if len(held) > 1 and sum(sizes) <= most_bytes else [])
    return parquet.file


def _rows_at_once(parquet: ParquetObject, group: int, chunks: Mapping[int, Chunk], name: str, chunk_bytes: int) -> int:
    """Return the number of rows that Arrow decodes at once, by the largest and the mean values of the columns.

    The page headers give the sizes. Arrow ends the process if it reads damaged column metadata.

    Raises:
        MemoryLimitError: The pages are too large for the memory of a load.
    """
    row_count = max(parquet.file.metadata.row_group(group).num_rows, 1)
    pages, longest_row, mean_row = 0, ROW_BYTES, 0
    for leaf, chunk in chunks.items():
        sizes = sizes_of(parquet.ranges, chunk)
        pages += sizes.page
        if pages > max(chunk_bytes * PAGE_CHUNKS, SMALLEST_PAGES):
            raise _too_large(parquet, name, group, leaf, sizes.page)
        longest = sizes.dictionary_value(chunk)
        if chunk.has_lengths and sizes.dictionary and longest > ROW_BYTES:
            longest = _longest_text(parquet, group, leaf, sizes.dictionary, chunk.codec)
        values = -(-chunk.value_count // row_count)
        longest_row += max(sizes.value, longest) * values
        mean_row += max(sizes.value, sizes.dictionary_mean) * values
    return max(min(chunk_bytes // longest_row, DECODED_BYTES // max(mean_row, ROW_BYTES)), 1)


def _longest_text(parquet: ParquetObject, group: int, leaf: int, page: Dictionary, codec: str | None) -> int:
    if codec is None:
        return decoded_longest_text(parquet, group, leaf)
    return longest_text(parquet.ranges, page, codec)


def _too_large(parquet: ParquetObject, name: str, group: int, leaf: int, size: int) -> MemoryLimitError:
    path = parquet.file.schema.column(leaf).path
    return MemoryLimitError(
        f"{name}, column {path}: expected pages that fit into LOAD_MEMORY_MB, found one of {size:,} bytes in row group"
        f" {group + 1}. Nothing was loaded. Have the object written with smaller pages (in pyarrow: data_page_size and"
        " write_batch_size) or smaller row groups (row_group_size), or raise LOAD_MEMORY_MB"
    )


def _joined(batches: Iterator[pa.RecordBatch], most_bytes: int) -> Iterator[pa.RecordBatch]:
    """Join consecutive batches until they have a size: converting a batch takes longer than decoding few rows."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        size += batch.nbytes
        waiting.append(batch)
        del batch  # the next one is decoded while this name is bound
        if size >= most_bytes:
            joined, waiting, size = pa.Table.from_batches(waiting), [], 0
            yield from joined.combine_chunks().to_batches()
            del joined
    if waiting:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def _check_lengths(array: Any, name: str, source: str, first: int) -> None:
    """Refuse a text that is longer than a record of the other formats may be.

    Raises:
        UnreadableObjectError: There is one.
    """
    texts = array.values if array.type == LIST else array
    if texts.nbytes > MAX_RECORD_BYTES and (longest := longest_of(texts)) > MAX_RECORD_BYTES:
        raise UnreadableObjectError(
            f"{name}, column {source}: expected texts of at most {MAX_RECORD_BYTES >> 20} MiB, found one of"
            f" {longest:,} bytes in row {first:,} or a later one. Nothing was loaded. Have the object delivered without"
            " such texts"
        )


def _batch(arrays: Sequence[Any], first: int, columns: ColumnMatch) -> Batch:
    """Convert arrays into a batch. A row with a string that is not UTF-8 is rejected."""
    errors: dict[int, str] = {}
    for source, array in zip(columns.positions, arrays, strict=True):
        for row in invalid_texts(array):
            errors.setdefault(row, source)
    rejected = [
        RejectedRow(first + row, source, _NOT_UTF8, _record(columns, arrays, row))
        for row, source in sorted(errors.items())
    ]
    count = len(arrays[0])
    places: Sequence[int] = range(count)
    lines = LineNumbers.following(first, count)
    if errors:
        places = [row for row in range(count) if row not in errors]
        lines = LineNumbers.of(first + place for place in places)
        arrays = [array.take(pa.array(places, pa.int64())) for array in arrays]

    def records_of(rows: Sequence[int]) -> list[tuple[int, bytes]]:
        return [(first + places[row], _record(columns, arrays, row)) for row in rows]

    strings = string_columns_of_arrays(list(columns.positions), arrays, len(places))
    return Batch(strings, records_of, columns, lines, rejected)


def _record(columns: ColumnMatch, arrays: Sequence[Any], row: int) -> bytes:
    """Return a row as a JSON object of strings. Bytes that are not UTF-8 are kept unchanged."""
    names = [columns.names[position] for position in columns.positions.values()]
    values = {name: _python(array[row]) for name, array in zip(names, arrays, strict=True)}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogateescape")


def _python(value: Any) -> object:
    if not value.is_valid:
        return None
    if isinstance(value, pa.LargeListScalar):
        return [_python(one) for one in value]
    return value.as_buffer().to_pybytes().decode(errors="surrogateescape")
