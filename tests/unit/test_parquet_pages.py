"""Headers of parquet pages: the sizes that they give, and headers that are damaged."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.parquet_files import decoded_longest_text, open_parquet
from tasks.engine.formats.parquet_pages import ChunkSizes, Dictionary, chunks_of, longest_text, sizes_of
from tasks.engine.formats.thrift_structs import read_struct

LEAVES = range(2)


def written(values: "pa.Array | Sequence[object]", **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"first": list(range(len(values))), "x": values}), sink, **options)
    return sink.getvalue()


def footer_of(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def sizes(data: bytes) -> ChunkSizes:
    return sizes_of(io.BytesIO(data), chunks_of(footer_of(data), LEAVES)[0][1])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_chunks_are_where_the_library_finds_them(version: str, compression: str, *, dictionary: bool) -> None:
    texts = [f"text {number}" for number in range(5_000)]
    data = written(
        texts, compression=compression, data_page_version=version, use_dictionary=dictionary, row_group_size=1_500
    )
    metadata = pq.read_metadata(io.BytesIO(data))
    found = chunks_of(footer_of(data), LEAVES)
    assert len(found) == metadata.num_row_groups == 4
    for group, chunks in enumerate(found):
        for place, chunk in chunks.items():
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


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("values", [["a", "bc" * 5_000, None, "a"], [["a"], ["bc" * 5_000, "a"], None, []], ["", None]])
def test_longest_text_of_a_dictionary_is_known_from_its_page(values: Sequence[Any], compression: str) -> None:
    data = written(values, compression=compression)
    chunk, longest = chunks_of(footer_of(data), LEAVES)[0][1], 10_000 if len(values) > 2 else 0
    found = sizes_of(io.BytesIO(data), chunk)
    assert found.dictionary
    assert chunk.codec is not None
    assert found.dictionary_value(chunk) >= longest
    assert longest_text(io.BytesIO(data), found.dictionary, chunk.codec) == longest
    assert decoded_longest_text(open_parquet(io.BufferedReader(io.BytesIO(data)), "x"), 0, 1) == longest


def test_codec_that_arrow_offers_in_files_only_has_no_name() -> None:
    data = written(["a"], compression="lz4")
    footer = footer_of(data)
    assert footer.count(b"\x15\x0e") == 2  # the codec LZ4_RAW of two columns, an integer of Thrift
    chunks = chunks_of(footer.replace(b"\x15\x0e", b"\x15\x0a"), LEAVES)  # LZ4 as Hadoop frames it
    assert [chunk.codec for chunk in chunks[0].values()] == [None, None]


@pytest.mark.parametrize("page", [b"\1", b"\1\0\0\0", b"\1\0\0\0ab", b"\1\0\0\0a\xff\xff\xff\xffa"])
def test_dictionary_that_ends_inside_a_text_is_unreadable(page: bytes) -> None:
    with pytest.raises(UnreadableObjectError, match="cut off"):
        longest_text(io.BytesIO(page), Dictionary(0, len(page), len(page), 1), "")


def test_numbers_and_columns_without_a_dictionary_need_no_look() -> None:
    data = written(list(range(100)))
    chunk = chunks_of(footer_of(data), LEAVES)[0][1]
    found = sizes_of(io.BytesIO(data), chunk)
    assert (found.dictionary_value(chunk), found.dictionary_mean) == (8, 8)
    assert sizes(written(["a"], use_dictionary=False)).dictionary is None


def test_damaged_headers_are_unreadable_and_end() -> None:
    data = written([f"text {number % 50}" for number in range(3_000)], row_group_size=1_000)
    first, refused = len(data) - 8 - len(footer_of(data)), 0
    for position in (*range(4, 60), *range(first, len(data) - 8)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            for chunks in chunks_of(footer_of(bytes(damaged)), LEAVES):
                for chunk in chunks.values():
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
