"""Peak memory of a load stays within `LOAD_MEMORY_MB` when the object is made to take more."""

import gzip
import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

import pyarrow
import pyarrow.parquet
import pytest
from backports import zstd
from peak_memory import needs_proc, printed_by
from sample_dataset import lake, ready_connection
from sample_visits import COLUMNS, HEADER, VISITS

from tasks.contracts.formats import Csv, FixedWidth, format_code
from tasks.engine.warehouse.partitions import ensure_partition
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket"), needs_proc]

SMALL_MB, DEFAULT_MB = 256, 400
LONG = (16 << 20) - 500
"""Bytes of a value in a record that is just short enough to be read."""

LOAD = """
import sys
from dataclasses import replace
from peak_memory import peak_mb
from tasks.contracts.formats import Csv, FixedWidth
from tasks.engine.errors import Permanent
from tasks.engine.settings import RunSettings
from sample_dataset import connection, load, ref
from sample_visits import VISITS
contract = replace(VISITS, format=eval(sys.argv[3]))
settings = RunSettings(load_memory_mb=sys.argv[2], max_rejected_rows=10**9)
with connection("memory") as warehouse:
    try:
        receipt = load(warehouse, ref(sys.argv[1]), contract=contract, settings=settings)
        print(receipt.rows_loaded, receipt.rows_rejected)
    except Permanent as error:
        print(type(error).__name__)
print(peak_mb())
"""


def record(**values: object) -> dict[str, object]:
    usual = {"id": "123e4567-e89b-12d3-a456-426614174000", "timestamp": "2021-04-03 10:00:00"}
    return dict.fromkeys(COLUMNS) | usual | values


def row(**values: object) -> bytes:
    return ",".join("" if value is None else str(value) for value in record(**values).values()).encode() + b"\n"


def line(**values: object) -> bytes:
    return json.dumps(record(**values)).encode() + b"\n"


def csv_row() -> Iterator[bytes]:
    yield from (HEADER, row())


def csv_open_quote() -> Iterator[bytes]:
    yield from (HEADER, b'"\n', b"a\n" * 100_000)


def csv_long_records() -> Iterator[bytes]:
    yield from (HEADER, *[row(uri="x" * LONG)] * 3)


def csv_long_rejected_records() -> Iterator[bytes]:
    yield from (HEADER, *[row(id="none", uri="x" * LONG)] * 4)


def csv_long_domains() -> Iterator[bytes]:
    yield HEADER
    yield from (row(email="x@" + "ab." * (LONG // 3) + str(number)) for number in range(3))


def csv_long_lists() -> Iterator[bytes]:
    yield from (HEADER, row(tags='"[' + "u'a'," * (LONG // 5) + ']"'))


def csv_header_of_millions() -> Iterator[bytes]:
    yield from (HEADER.rstrip(), b",a" * (LONG // 2), b"\n1,2\n")


def csv_blank_beginning() -> Iterator[bytes]:
    yield from (*[b"\n" * (1 << 20)] * 40, HEADER, row())


def csv_gz_of_nothing() -> Iterator[bytes]:
    yield from (gzip.compress(HEADER), *[gzip.compress(b"\n" * (32 << 20))] * 2, gzip.compress(row()))


def csv_zst_with_large_window() -> Iterator[bytes]:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 26})
    yield from (compressor.compress(block) for block in (HEADER, *[b"\n" * (1 << 20)] * 80, row()))
    yield compressor.flush()


def wide(record: Callable[..., bytes]) -> Iterator[bytes]:
    """Records with 200 more keys of 1 kB, which the contract does not declare."""
    yield from [record(**{f"key_{number}": "x" * 1000 for number in range(200)})] * 120


def ndjson_wide() -> Iterator[bytes]:
    yield from wide(line)


def csv_wide() -> Iterator[bytes]:
    names = b"".join(b",key_%d" % number for number in range(200))
    yield HEADER.strip() + names + b"\n"
    yield from wide(row)


def ndjson_long_records() -> Iterator[bytes]:
    yield from [line(uri="x" * LONG)] * 3


def ndjson_long_escapes() -> Iterator[bytes]:
    yield from [line(uri="\n" * (LONG // 2))] * 3


def document_of_long_records() -> Iterator[bytes]:
    yield b"[" + b",".join([line(uri="x" * LONG)] * 3) + b"]"


def document_of_long_escapes() -> Iterator[bytes]:
    yield b"[" + b",".join([line(uri="\n" * (LONG // 2))] * 3) + b"]"


def csv_distinct_domains() -> Iterator[bytes]:
    beginning, end = row(email="x@?.co.uk").split(b"?")
    yield HEADER
    for first in range(0, 300_000, 10_000):
        yield b"".join(b"%b%d%b" % (beginning, first + place, end) for place in range(10_000))


def utf16_rows() -> Iterator[bytes]:
    yield HEADER.decode().encode("utf-16-le")
    yield from [(row(uri="\u65e5" * 40).decode() * 10_000).encode("utf-16-le")] * 20


def cp1252_undecodable_lines() -> Iterator[bytes]:
    yield from (HEADER, *[b"\x81\n" * 25_000] * 2)


def cp1252_endless_line() -> Iterator[bytes]:
    yield from (HEADER, *[b"\x80" * (1 << 20)] * 40)


def csv_comments() -> Iterator[bytes]:
    yield from (*[b"#\n" * (1 << 19)] * 30, HEADER, *[b"#\n" * (1 << 19)] * 30, row())


def fixed_width_short_lines() -> Iterator[bytes]:
    yield b"a\n" * 100_000


def ndjson_short_lines() -> Iterator[bytes]:
    yield from (line(), b"12\n" * 80_000)


def ndjson_million_keys() -> Iterator[bytes]:
    yield line()
    yield b"{" + ",".join(f'"{number:x}":1' for number in range(1_300_000)).encode() + b"}\n"


WRITTEN = {"use_dictionary": False, "compression": "zstd", "write_statistics": False}
"""Options of parquet files. Statistics of long values cost more than the values."""


def parquet(count: int, size: int) -> bytes:
    """Rows in one row group, each with a long value."""
    names = {name: pyarrow.array([value] * count, pyarrow.string()) for name, value in record(uri="x" * size).items()}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(names), file, **WRITTEN)
    return file.getvalue()


def parquet_wide_rows() -> Iterator[bytes]:
    yield parquet(3_000, 100_000)


def parquet_of(values: "pyarrow.Array", **options: object) -> bytes:
    """Rows in one row group, with these values as their addresses."""
    columns = {name: pyarrow.array([value] * len(values), pyarrow.string()) for name, value in record().items()}
    file = io.BytesIO()
    table = pyarrow.table(columns | {"uri": values})
    pyarrow.parquet.write_table(table, file, **{**WRITTEN, **options})
    return file.getvalue()


def texts(*lengths: int) -> "pyarrow.Array":
    """Make values of these lengths, without a copy of their bytes."""
    content = b"".join(b"%c" % (97 + place % 26) * length for place, length in enumerate(lengths))
    _, offsets = pyarrow.array(itertools.accumulate(lengths, initial=0), pyarrow.int64()).buffers()
    return pyarrow.LargeStringArray.from_buffers(len(lengths), offsets, pyarrow.py_buffer(content))


def parquet_value_of_200_mb() -> Iterator[bytes]:
    yield parquet_of(texts(200 << 20))


def parquet_values_of_16_mb() -> Iterator[bytes]:
    yield parquet_of(texts(*[LONG] * 10))


def parquet_values_of_16_mb_in_pages() -> Iterator[bytes]:
    yield parquet_of(texts(*[LONG] * 10), write_batch_size=1)


def parquet_value_of_17_mb() -> Iterator[bytes]:
    yield parquet_of(texts(17 << 20))


def parquet_dictionary() -> Iterator[bytes]:
    values = texts(*[100_000] * 8)
    yield parquet_of(values.take(pyarrow.array([place % 8 for place in range(2_000)])), use_dictionary=True)


def parquet_dictionary_of_a_long_word() -> Iterator[bytes]:
    values = texts(*[8 << 20, *[10] * 20_000])
    yield parquet_of(values.take(pyarrow.array([0] * 30)), use_dictionary=True, dictionary_pagesize_limit=32 << 20)


def parquet_prefixes() -> Iterator[bytes]:
    encoding = {"uri": "DELTA_BYTE_ARRAY"}
    values = ["x" * 100_000 + f"{place:06}" for place in range(2_000)]
    yield parquet_of(pyarrow.array(values, pyarrow.large_string()), column_encoding=encoding)


def parquet_long_values_after_short_ones() -> Iterator[bytes]:
    yield parquet_of(texts(*[5] * 100_000, *[100_000] * 600))


def parquet_bytes_that_do_not_compress() -> Iterator[bytes]:
    drawn = random.Random(1)  # noqa: S311 - repeatable, not secret
    yield parquet_of(pyarrow.array([drawn.randbytes(1 << 14).hex() for _ in range(5_000)], pyarrow.large_string()))


DECLARED = {
    "utf-16.txt": format_code(Csv(encoding="utf-16-le")),
    "cp1252.txt": format_code(Csv(encoding="cp1252")),
    "comments.txt": format_code(Csv(comment="#")),
    "fixed.txt": format_code(FixedWidth(tuple((name, place * 40 + 1, 40) for place, name in enumerate(COLUMNS)))),
}
"""Formats that contracts declare, by the suffix of the object."""

CASES = [
    pytest.param(parquet_value_of_200_mb, "parquet", DEFAULT_MB, "MemoryLimitError", id="parquet: a value of 200 MB"),
    pytest.param(
        parquet_value_of_17_mb, "parquet", DEFAULT_MB, "UnreadableObjectError", id="parquet: a value of 17 MiB"
    ),
    pytest.param(parquet_values_of_16_mb, "parquet", DEFAULT_MB, "MemoryLimitError", id="parquet: 160 MB in a page"),
    pytest.param(parquet_values_of_16_mb_in_pages, "parquet", DEFAULT_MB, "10 0", id="parquet: values of 16 MiB"),
    pytest.param(parquet_dictionary, "parquet", DEFAULT_MB, "2000 0", id="parquet: a dictionary of long values"),
    pytest.param(
        parquet_dictionary_of_a_long_word, "parquet", DEFAULT_MB, "30 0", id="parquet: a value of 8 MiB again and again"
    ),
    pytest.param(parquet_prefixes, "parquet", DEFAULT_MB, "2000 0", id="parquet: long values that share a beginning"),
    pytest.param(
        parquet_long_values_after_short_ones,
        "parquet",
        DEFAULT_MB,
        "100600 0",
        id="parquet: long values after short ones",
    ),
    pytest.param(
        parquet_bytes_that_do_not_compress, "parquet", DEFAULT_MB, "5000 0", id="parquet: 160 MB that do not compress"
    ),
    pytest.param(parquet_wide_rows, "parquet", DEFAULT_MB, "3000 0", id="parquet: a row group of 300 MB"),
    pytest.param(csv_long_records, "csv", SMALL_MB, "3 0", id="csv: records of 16 MiB"),
    pytest.param(csv_long_rejected_records, "csv", SMALL_MB, "0 4", id="csv: rejected records of 16 MiB"),
    pytest.param(csv_long_domains, "csv", DEFAULT_MB, "3 0", id="csv: domains of 16 MiB"),
    pytest.param(csv_long_lists, "csv", SMALL_MB, "0 1", id="csv: lists of millions of words"),
    pytest.param(csv_header_of_millions, "csv", SMALL_MB, "UnreadableObjectError", id="csv: 8 million columns"),
    pytest.param(csv_zst_with_large_window, "csv.zst", DEFAULT_MB, "1 0", id="csv.zst: a window of 64 MB"),
    pytest.param(csv_wide, "csv", SMALL_MB, "120 0", id="csv: 200 columns"),
    pytest.param(ndjson_wide, "ndjson", SMALL_MB, "120 0", id="ndjson: 200 keys"),
    pytest.param(ndjson_long_records, "ndjson", SMALL_MB, "3 0", id="ndjson: records of 16 MiB"),
    pytest.param(ndjson_long_escapes, "ndjson", SMALL_MB, "3 0", id="ndjson: escapes of 16 MiB"),
    pytest.param(document_of_long_records, "json", SMALL_MB, "3 0", id="json: records of 16 MiB"),
    pytest.param(document_of_long_escapes, "json", SMALL_MB, "3 0", id="json: escapes of 16 MiB"),
    pytest.param(csv_distinct_domains, "csv", SMALL_MB, "300000 0", id="csv: 300,000 domains"),
    pytest.param(utf16_rows, "utf-16.txt", SMALL_MB, "200000 0", id="csv: 40 MB of utf-16"),
    pytest.param(
        cp1252_endless_line, "cp1252.txt", SMALL_MB, "UnreadableObjectError", id="csv: an encoded line of 40 MB"
    ),
    pytest.param(fixed_width_short_lines, "fixed.txt", SMALL_MB, "0 100000", id="fixed width: lines of two bytes"),
    pytest.param(ndjson_million_keys, "ndjson", DEFAULT_MB, "1 1", id="ndjson: a record of a million keys"),
]

SHORT_LINES = [
    pytest.param(csv_open_quote, "csv", "0 100001", id="csv: one open quote and short lines"),
    pytest.param(csv_blank_beginning, "csv", "1 0", id="csv: 40 MB of blank lines before the header"),
    pytest.param(csv_gz_of_nothing, "csv.gz", "1 0", id="csv.gz: 64 MB of blank lines"),
    pytest.param(cp1252_undecodable_lines, "cp1252.txt", "0 50000", id="csv: undecodable lines"),
    pytest.param(csv_comments, "comments.txt", "1 0", id="csv: 60 MB of comments"),
    pytest.param(ndjson_short_lines, "ndjson", "1 80000", id="ndjson: lines of two bytes"),
]

BUFFERS_MB = 16
"""How much more memory an object of short lines may take than an object of one row."""


def keep_values_uncompressed(warehouse: Connection) -> None:
    """Let Postgres store long values uncompressed, because compression costs more than all other work of a load."""
    table = ensure_partition(warehouse, VISITS, date(2021, 4, 1))
    for column in ("uri", "email", "domain"):
        warehouse.execute(f"ALTER TABLE {table} ALTER {column} SET STORAGE EXTERNAL".encode())


def load(content: Callable[[], Iterator[bytes]], suffix: str, limit_mb: int) -> tuple[str, float]:
    """Load an object in a process of its own. Return the outcome and the peak memory of the process in MB."""
    key = f"{content.__name__}/visits.{suffix}"
    with ready_connection(VISITS) as warehouse:
        keep_values_uncompressed(warehouse)
        lake().write(key, content(), "binary/octet-stream")
        outcome, peak = printed_by(LOAD, key, str(limit_mb), DECLARED.get(suffix, "None"))
    return outcome, float(peak)


@cache
def peak_of_a_row() -> float:
    return load(csv_row, "csv", SMALL_MB)[1]


@pytest.mark.parametrize(("content", "suffix", "limit_mb", "outcome"), CASES)
def test_peak_memory_of_a_hostile_object_stays_within_the_limit(
    content: Callable[[], Iterator[bytes]], suffix: str, limit_mb: int, outcome: str
) -> None:
    found, peak = load(content, suffix, limit_mb)
    assert found == outcome
    assert peak < limit_mb


@pytest.mark.parametrize(("content", "suffix", "outcome"), SHORT_LINES)
def test_short_lines_take_hardly_more_memory_than_a_row(
    content: Callable[[], Iterator[bytes]], suffix: str, outcome: str
) -> None:
    of_a_row = peak_of_a_row()
    found, peak = load(content, suffix, SMALL_MB)
    assert found == outcome
    assert peak < of_a_row + BUFFERS_MB < SMALL_MB
