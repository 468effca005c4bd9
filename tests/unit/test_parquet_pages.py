"""Headers of parquet pages: the sizes that they give, and headers that are damaged."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.parquet_files import longest_text, open_parquet
from tasks.engine.formats.parquet_pages import ChunkSizes, RangeFile, chunks_of, sizes_of
from tasks.engine.formats.thrift_structs import read_struct


def written(values: "pa.Array | Sequence[object]", **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"first": list(range(len(values))), "x": values}), sink, **options)
    return sink.getvalue()


def footer_of(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def sizes(data: bytes) -> ChunkSizes:
    return sizes_of(io.BytesIO(data), chunks_of(footer_of(data))[0][1])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_chunks_are_where_the_library_finds_them(version: str, compression: str, *, dictionary: bool) -> None:
    texts = [f"text {number}" for number in range(5_000)]
    data = written(
        texts, compression=compression, data_page_version=version, use_dictionary=dictionary, row_group_size=1_500
    )
    metadata = pq.read_metadata(io.BytesIO(data))
    found = chunks_of(footer_of(data))
    assert len(found) == metadata.num_row_groups == 4
    for group, chunks in enumerate(found):
        for place, chunk in enumerate(chunks):
            column = metadata.row_group(group).column(place)
            start = column.dictionary_page_offset if dictionary else column.data_page_offset
            assert (chunk.start, chunk.size, chunk.value_count) == (
                start,
                column.total_compressed_size,
                column.num_values,
            )
            assert chunk.has_lengths == (column.physical_type == "BYTE_ARRAY")
            assert sizes_of(io.BytesIO(data), chunk).page > 0


def test_largest_page_and_largest_values_are_found_among_many_pages() -> None:
    data = written(["a"] * 10_000 + ["b" * 5_000] * 10 + ["c"] * 10_000, use_dictionary=False, write_batch_size=1)
    assert sizes(data).page > 50_000
    data = written(["a"] * 1_024 + ["b" * 5_000] * 1_024, use_dictionary=False, data_page_size=1)
    assert 5_000 <= sizes(data).value <= 5_100


def test_prefixes_may_make_values_as_long_as_their_page() -> None:
    texts = ["x" * 10_000 + str(number) for number in range(500)]
    found = sizes(written(texts, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}, compression="none"))
    assert found.value > 10_000


@pytest.mark.parametrize("values", [["a", "bc" * 5_000, None, "a"], [["a"], ["bc" * 5_000, "a"], None, []]])
def test_longest_text_of_a_dictionary_is_known_from_the_dictionary(values: Sequence[object]) -> None:
    data = written(values)
    assert sizes(data).dictionary_value >= 10_000
    parquet = open_parquet(io.BufferedReader(io.BytesIO(data)))
    assert longest_text(parquet, 0, 1) == 10_000


def test_numbers_and_columns_without_a_dictionary_need_no_look() -> None:
    assert sizes(written(list(range(100)))).dictionary_value == 8
    assert sizes(written(["a"], use_dictionary=False)).dictionary_value == 0


def test_damaged_headers_are_unreadable_and_end() -> None:
    data = written([f"text {number % 50}" for number in range(3_000)], row_group_size=1_000)
    first, refused = len(data) - 8 - len(footer_of(data)), 0
    for position in (*range(4, 60), *range(first, len(data) - 8)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            for chunks in chunks_of(footer_of(bytes(damaged))):
                for chunk in chunks:
                    sizes_of(io.BytesIO(damaged), chunk)
        except UnreadableObjectError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x18\xff\xff\xff\xff\x0f",
        b"\x19\xfc\xff\xff\xff\xff\x0f",
        b"\x1c" * 100,
        b"\x1d\x00",
        b"\x15" + b"\xff" * 11,
    ],
)
def test_bytes_that_are_no_struct_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableObjectError):
        read_struct(data)


def test_held_ranges_are_read_once() -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            Counted.reads += 1
            return super().read(size)

    file = RangeFile(Counted(bytes(range(100))))  # type: ignore[arg-type]
    file.hold([(10, 20), (50, 10)])
    reads = Counted.reads
    for position, size, found in ((10, 20, range(10, 30)), (15, 5, range(15, 20)), (55, 5, range(55, 60))):
        file.seek(position)
        assert file.read(size) == bytes(found)
        assert file.tell() == position + size
    assert Counted.reads == reads
    file.seek(25)
    assert file.read(10) == bytes(range(25, 35))
    assert Counted.reads == reads + 1
    file.seek(-5, io.SEEK_END)
    assert file.read() == bytes(range(95, 100))
