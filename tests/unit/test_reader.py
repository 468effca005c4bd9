"""The reader with all formats, compared with a reader that processes one byte at a time."""

import base64
import gzip
import io
import json
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_csv import Fields, read_plain

from tasks.contracts import Column, Contract
from tasks.contracts.formats import Csv
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats import csv_reader, csv_records, parquet_reader
from tasks.engine.formats.batches import CHUNK_BYTES, Batch
from tasks.engine.formats.csv_records import CsvRecords
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches

BOM = b"\xef\xbb\xbf"


def contract_of(*names: str) -> Contract:
    return Contract("things", "s.things", "things", tuple(Column(name, TEXT, "text") for name in names), "p", "k")


ABC = contract_of("a", "b", "c")

Outcome = tuple[int, bytes, Fields | None, str | None]


def batches_of(data: bytes, name: str = "x.csv", contract: Contract = ABC) -> list[Batch]:
    return list(read_batches(io.BufferedReader(io.BytesIO(data)), name, contract))


def outcomes(batches: list[Batch]) -> list[Outcome]:
    """Return the line number, the bytes, and the fields or the reason of every record, in the order of the batches."""
    found: list[Outcome] = []
    for batch in batches:
        rows = zip(batch.records_of(range(batch.strings.row_count)), frame_of(batch.strings).iter_rows(), strict=True)
        part: list[Outcome] = [(line, raw, list(row), None) for (line, raw), row in rows]
        part += [(row.line_number, row.raw, None, row.reason) for row in batch.rejected]
        found += sorted(part, key=lambda outcome: outcome[0])
    return found


def expected(data: bytes, width: int = 3, first_line: int = 2) -> list[Outcome]:
    return [(r.line_number, r.raw, r.fields, r.reason) for r in read_plain(data, width, first_line)]


def rows_of(data: bytes, name: str = "x.csv", contract: Contract = ABC) -> list[tuple[object, ...]]:
    return [row for batch in batches_of(data, name, contract) for row in frame_of(batch.strings).iter_rows()]


text = st.text(st.sampled_from("ab ,\"'\n\r\x01é\ufeff\U0001f600"), max_size=6)
damage = st.sampled_from([b"", b"", b"", b",", b'"', b"\n", b"\r", b"\0", b"\xff", b'"x', b"\r\n\n", BOM, b'""'])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Return records of three fields without a header. Some records are damaged."""
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    data = b""
    for _ in range(draw(st.integers(0, 12))):
        record = b",".join(draw(st.sampled_from([_quoted, _bare]))(draw(text)) for _ in range(3))
        place = draw(st.integers(0, len(record)))
        data += record[:place] + draw(damage) + record[place:] + end
    return data.removesuffix(end) if draw(st.booleans()) else data


def _quoted(value: str) -> bytes:
    return b'"' + value.encode().replace(b'"', b'""') + b'"'


def _bare(value: str) -> bytes:
    return "".join(c for c in value if c not in ",\r\n").lstrip('"').encode()


@pytest.mark.slow
@settings(max_examples=200)
@given(files(), st.integers(1, 50), st.sampled_from([b"", BOM]))
def test_every_record_has_its_outcome_wherever_the_chunks_end(data: bytes, chunk: int, mark: bytes) -> None:
    with patch.object(csv_reader, "CHUNK_BYTES", chunk):
        assert outcomes(batches_of(mark + b"a,b,c\n" + data)) == expected(data)


@pytest.mark.slow
def test_many_rows_with_a_quote_in_a_bare_field_are_all_read() -> None:
    data = b"".join(b'a%d"x,"b, %d",c"\n' % (number, number) for number in range(20_000))
    assert outcomes(batches_of(b"a,b,c\n" + data)) == expected(data)


def test_chunk_that_begins_with_a_byte_order_mark_keeps_it() -> None:
    header, data = b"a,b,c\n", BOM + b"1,2,3\n" + BOM + b"4,5,6\n"
    for chunk in (len(header), len(header) + len(data) // 2, 1000):
        with patch.object(csv_reader, "CHUNK_BYTES", chunk):
            assert rows_of(header + data) == [("\ufeff1", "2", "3"), ("\ufeff4", "5", "6")]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst"])
@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", BOM, BOM + b"\n", b"a,b,c", b"a,b,c\n", BOM + b"a,b,c\r\n"])
def test_object_without_records_gives_no_rows(name: str, data: bytes) -> None:
    assert outcomes(batches_of(compressed(data, name), name)) == []


@pytest.mark.parametrize("begin", [b"\n", b"\r\n", b"\n\r\n\n", BOM + b"\n"])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_blank_lines_before_the_header_are_skipped(begin: bytes, chunk: int) -> None:
    with patch.object(csv_reader, "CHUNK_BYTES", chunk):
        found = outcomes(batches_of(begin + b"a,b,c\n1,2,3\n"))
    assert found == [(begin.count(b"\n") + 2, b"1,2,3", ["1", "2", "3"], None)]


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst", "x.ndjson.gz", "x.json.zst", "x.parquet"])
def test_empty_object_is_not_a_compressed_stream_or_parquet(name: str) -> None:
    with pytest.raises(UnreadableObjectError, match=rf"{name} cannot be read: expected a .*, found 0 bytes"):
        batches_of(b"", name)


def compressed(data: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data)
    return pa.compress(data, codec="zstd", asbytes=True) if name.endswith(".zst") else data


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
@pytest.mark.parametrize("chunk", [50, 1000, 1 << 20])
def test_compressed_object_gives_the_same_rows_as_the_plain_object(name: str, chunk: int) -> None:
    data = b"".join(b'%d,"x\n",\n' % number if number % 7 else b"%d\n" % number for number in range(800))
    with patch.object(csv_reader, "CHUNK_BYTES", chunk):
        assert outcomes(batches_of(compressed(b"a,b,c\n" + data, name), name)) == expected(data)


class _Sparing(io.BytesIO):
    """A file whose reads return fewer bytes than requested, as a decompressor may do in the middle of a file."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 7) if size and size > 0 else 7)


def test_short_reads_lose_no_bytes() -> None:
    data = b"".join(b'%d,"x\n",\n' % number if number % 7 else b"%d\n" % number for number in range(300))
    batches = list(csv_reader.read_csv(_Sparing(b"a,b,c\n" + data), "x.csv", ABC, Csv(), 1000))
    assert outcomes(batches) == expected(data)


def test_parts_of_a_gzip_object_are_read_one_after_the_other() -> None:
    assert rows_of(gzip.compress(b"a,b,c\n1,2,3\n") + gzip.compress(b"4,5,6\n"), "x.csv.gz") == [
        ("1", "2", "3"),
        ("4", "5", "6"),
    ]


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
@pytest.mark.parametrize("kept", [5, 30, -1])
def test_truncated_object_is_refused(name: str, kept: int) -> None:
    data = compressed(b"a,b,c\n" + b"".join(b"%d,x,y\n" % (n * n * 7919) for n in range(500)), name)
    with pytest.raises(UnreadableObjectError, match=rf"{name} cannot be read: .*Nothing was loaded"):
        batches_of(data[:kept], name)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
def test_truncated_object_is_refused_wherever_it_ends(name: str) -> None:
    part = compressed(b"a,b,c\n" + b"".join(b"%d,x,y\n" % (n * n * 7919) for n in range(20)), name)
    for end in range(1, len(part)):
        for before in (b"", part):
            with pytest.raises(UnreadableObjectError, match=rf"{name} cannot be read"):
                batches_of(before + part[:end], name)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
@pytest.mark.parametrize("rest", [b"\0", bytes(512), b"\n", b"x", b"garbage after the stream"])
def test_compressed_object_with_trailing_bytes_is_refused(name: str, rest: bytes) -> None:
    message = rf"{name} cannot be read: expected the end of the object or another stream after a \w+ stream"
    with pytest.raises(UnreadableObjectError, match=message):
        batches_of(compressed(b"a,b,c\n1,2,3\n", name) + rest, name)


def test_frames_to_skip_in_a_zstd_object_are_no_data() -> None:
    first, second = (pa.compress(part, codec="zstd", asbytes=True) for part in (b"a,b,c\n1,2,3\n", b"4,5,6\n"))
    skipped = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd"
    assert rows_of(skipped + first + skipped + second + skipped, "x.csv.zst") == [("1", "2", "3"), ("4", "5", "6")]


def test_frames_of_a_zstd_object_are_read_one_after_the_other() -> None:
    parts = [pa.compress(part, codec="zstd", asbytes=True) for part in (b"a,b,c\n1,2,3\n", b"", b"4,5,6\n")]
    assert rows_of(b"".join(parts), "x.csv.zst") == [("1", "2", "3"), ("4", "5", "6")]


CHECKED = b"a,b,c\n" + b"".join(b"%d,x,y\n" % (n * n * 7919) for n in range(100))
ZSTD_WITH_CHECKSUM = base64.b64decode(
    "KLUv/WThA40MABboTBKwpZADnFLLw0qTMlPa3UDmMJdMAEUARACbDIf0fN9GpagHrbdMuEW+CDowlGapMwRZxRJCW8ETCSlNmOlMTPoV+Ijr/k"
    "xrFRrURAizEAxC31+4IllUV3PdAAUDgkEADAwEBgEBE6kvmq7xGRJxcRSvh5Mgx3xetDR9TnRBmqFGZF2l958gzUT83kI6wZGkhYiphGhHeJ1R"
    "1z3SMh4Kp0KNuMPZfiGk4sUOFt9NMZOejdu2zogTIdKHMLS71x9xjoRdzmr1CSNX8RttczORzkRizNRpbDE/2z3iEy1d8dNqQhBz4TNh9Mcvgh"
    "4jbwEABQOCwaWprmOMyuHBLahwoR86eUHEv2b6QrVK+CM2GfGZ9k/F0vFkVOlh/slDGWhP4nV1oP4hV44nc7K8Iu6J7L1uBTFiqBFkBAQR7e4Z"
    "kBmk0gEQQloKB2l3V2Bkkgi9xS0kUABIKL6SQQEg6fTKmD9+aJgwWeYvOjRe5QCGLZEB4LYpVO8xhl+pH4p4hlaL+YNNde8O3RranhFanK0Kyk"
    "DUVA=="
)
"""Output of `zstd --check` for the sample, because Arrow writes no checksum."""


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
def test_flipped_bit_of_a_stream_with_a_checksum_never_gives_other_values(name: str) -> None:
    data = ZSTD_WITH_CHECKSUM if name.endswith(".zst") else gzip.compress(CHECKED, mtime=0)
    sound = outcomes(batches_of(CHECKED))
    assert outcomes(batches_of(data, name)) == sound
    refused = 0
    for bit in random.Random(3).sample(range(8 * len(data)), 400):  # noqa: S311 - the same bits in each run
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert outcomes(batches_of(bytes(damaged), name)) == sound
        except UnreadableObjectError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst", "x.parquet"])
def test_object_of_another_format_than_its_name_says_is_refused(name: str) -> None:
    with pytest.raises(UnreadableObjectError, match="cannot be read"):
        batches_of(b"a,b,c\n1,2,3\n", name)


@pytest.mark.parametrize("name", ["x.txt", "x.csv.bz2", "x.parquet.gz", "x"])
def test_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match=rf"{name}: expected a?.*\.csv.*\.parquet"):
        batches_of(b"", name)


def test_error_of_the_source_passes_through_as_it_is() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise ContractError("from below")

    for name in ("x.csv", "x.csv.gz"):
        with pytest.raises(ContractError, match="from below"):
            list(read_batches(io.BufferedReader(Broken()), name, ABC))


def test_columns_are_found_by_name_in_any_order_among_unknown_ones() -> None:
    data = b' c ,"x, y","a",b\n3,-,1,2\n'
    (batch,) = batches_of(data)
    assert batch.columns.unknown == ("x, y",)
    assert (batch.strings.names, frame_of(batch.strings).rows()) == (("a", "b", "c"), [("1", "2", "3")])


def test_header_with_strange_names_is_reported_printable() -> None:
    data = b"a,b,c,ex\0tra,\xff,dup,dup\n1,2,3,4,5,6,7\n"
    (batch,) = batches_of(data)
    assert batch.columns.names == ("a", "b", "c", r"ex\x00tra", "\ufffd", "dup", "dup")
    assert batch.columns.unknown == (r"ex\x00tra", "\ufffd", "dup", "dup")
    assert frame_of(batch.strings).rows() == [("1", "2", "3")]


def test_missing_header_is_refused_and_the_found_names_are_listed() -> None:
    with pytest.raises(ContractError, match=r"x.csv: missing a, b, c; expected a, b, c; found 1, 2, 3"):
        batches_of(b"1,2,3\n4,5,6\n")


def test_header_longer_than_a_chunk_is_read_whole() -> None:
    with patch.object(csv_reader, "CHUNK_BYTES", 3):
        assert rows_of(b"a,b,c,longer\n1,2,3,4\n") == [("1", "2", "3")]


def test_overlong_header_is_refused() -> None:
    with (
        patch.object(csv_reader, "CHUNK_BYTES", 10),
        patch.object(csv_records, "MAX_RECORD_BYTES", 100),
        pytest.raises(UnreadableObjectError, match="line 1: expected a record"),
    ):
        batches_of(b"a,b,c" * 50)


def test_table_of_thousands_of_columns_is_read() -> None:
    contract = contract_of("n0", "n5999")
    header = ",".join(f"n{number}" for number in range(6000))
    row = ",".join(str(number) for number in range(6000))
    assert rows_of(f"{header}\n{row}\n{row}\n".encode(), contract=contract) == [("0", "5999")] * 2


def test_table_of_one_column_is_read() -> None:
    data = b'x\n""\n\n"y\nz"\n \n'
    assert outcomes(batches_of(b"a\n" + data, contract=contract_of("a"))) == expected(data, 1)


@pytest.mark.parametrize("is_sound", [True, False])
def test_line_of_ten_megabytes_is_read(is_sound: bool) -> None:
    long = b"x" * (10 << 20)
    tail = b"4,5,6\n" if is_sound else b"4,5\n"
    found = outcomes(batches_of(b"a,b,c\n1,2,3\n1," + long + b",3\n" + tail))
    assert [len(raw) for _, raw, _, _ in found] == [5, len(long) + 4, len(tail) - 1]
    assert [fields is None for _, _, fields, _ in found] == [False, False, not is_sound]


def test_long_record_is_scanned_a_few_times_in_small_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[int] = []

    def read_records(data: bytes, *arguments: Any, **options: Any) -> Iterator[CsvRecords]:
        scanned.append(len(data))
        return csv_records.read_records(data, *arguments, **options)

    monkeypatch.setattr(csv_reader, "read_records", read_records)
    data = b"a,b\n" + b"1," + b"x" * (8 << 20) + b"\n"
    batches = list(read_batches(io.BufferedReader(io.BytesIO(data)), "x.csv", contract_of("a", "b"), 1 << 16))
    assert [batch.strings.row_count for batch in batches] == [1]
    assert sum(scanned) < 4 * len(data)


def test_unclosed_quote_at_the_beginning_rejects_only_its_line_in_linear_time() -> None:
    count = 400_000
    data = b"".join(b"%06d,some-more-text-to-fill-the-line-with-bytes-up-to-here,x\n" % n for n in range(count))
    assert len(data) > csv_records.MAX_RECORD_BYTES + CHUNK_BYTES
    started = time.process_time()
    batches = batches_of(b'a,b,c\n0,"open,x\n' + data)
    seconds = time.process_time() - started
    assert [(row.line_number, row.raw) for batch in batches for row in batch.rejected] == [(2, b'0,"open,x')]
    assert sum(batch.strings.row_count for batch in batches) == count
    assert batches[-1].records_of([batches[-1].strings.row_count - 1])[0][0] == count + 2
    assert seconds < 20


def parquet(**columns: "pa.Array[Any]") -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_rows_are_numbered_across_batches() -> None:
    numbers = pa.array([str(n) for n in range(10)])
    with patch.multiple(parquet_reader, PARQUET_ROWS=4, FEW_ROWS=4):
        batches = batches_of(parquet(c=numbers, a=numbers, x=numbers, b=numbers), "x.parquet")
    lines = [[line for line, _ in batch.records_of(range(batch.strings.row_count))] for batch in batches]
    assert lines == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert batches[0].columns.unknown == ("x",)
    assert frame_of(batches[2].strings).rows() == [("8", "8", "8"), ("9", "9", "9")]
    assert batches[2].records_of([1]) == [(10, b'{"a":"9","b":"9","c":"9"}')]


def test_parquet_is_read_lazily() -> None:
    sink = io.BytesIO()
    values = pa.array([os.urandom(100).hex() for _ in range(20_000)])
    pq.write_table(pa.table({"a": values, "b": values, "c": values}), sink, row_group_size=1000)
    data = sink.getvalue()
    with patch.object(parquet_reader, "PARQUET_ROWS", 1000):
        raw = CountingFile(io.BytesIO(data))
        batches = read_batches(io.BufferedReader(raw, 1 << 16), "x.parquet", ABC)
        next(batches)
        assert raw.bytes_read < len(data) / 4
        assert sum(batch.strings.row_count for batch in batches) == 19_000


class CountingFile(io.RawIOBase):
    def __init__(self, file: io.BytesIO) -> None:
        self.file, self.bytes_read = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        count = self.file.readinto(buffer)
        self.bytes_read += count
        return count


def test_parquet_without_rows_gives_no_batches_with_rows() -> None:
    empty = pa.array([], pa.string())
    assert rows_of(parquet(a=empty, b=empty, c=empty), "x.parquet") == []


def test_parquet_without_a_column_is_refused() -> None:
    with pytest.raises(ContractError, match="missing b, c"):
        batches_of(parquet(a=pa.array(["x"])), "x.parquet")


def test_raw_bytes_of_parquet_rows_stay_together_whatever_ends_a_line_in_unicode() -> None:
    values = pa.array(["\u2028x\x85", "\x0b\x1c\n\r"])
    (batch,) = batches_of(parquet(a=values, b=values, c=values), "x.parquet")
    assert [json.loads(raw)["a"] for _, raw in batch.records_of([0, 1])] == values.to_pylist()


def test_raw_bytes_of_parquet_rows_are_the_wanted_texts_as_json() -> None:
    zone = timezone(timedelta(hours=2))
    data = parquet(
        a=pa.array([datetime(2021, 4, 1, tzinfo=UTC).astimezone(zone)], pa.timestamp("us", "+02:00")),
        b=pa.array([Decimal("1.50")]),
        c=pa.array(["é"]),
        d=pa.array([{"k": 1}]),
    )
    (batch,) = batches_of(data, "x.parquet")
    assert batch.columns.unknown == ("d",)
    ((_, raw),) = batch.records_of([0])
    assert raw.decode() == '{"a":"2021-04-01T02:00:00.000000+02:00","b":"1.50","c":"é"}'
