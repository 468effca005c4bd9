"""The peak memory of a process that loads an object is bounded for every format and size of the object."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from functools import lru_cache

import pyarrow.csv
import pyarrow.parquet
import pytest
from peak_memory import needs_proc, printed_by
from sample_dataset import lake, ready_connection
from sample_visits import COLUMNS, HEADER, VISITS, visit_records

from tasks.engine.settings import RunSettings

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket"), needs_proc]

SMALL_MB = 256
"""The minimum of the setting. The buffers of this size are full after a few MB."""

GROWTH, NOISE_MB = 1.05, 5

ROWS = 73_000
"""Number of rows in a block of 10 MB of CSV. Objects consist of several blocks."""

LOAD = """
import sys
from peak_memory import peak_mb
from tasks.engine.settings import RunSettings
from sample_dataset import connection, load, ref
from sample_visits import VISITS
settings = RunSettings(load_memory_mb=sys.argv[2])
with connection("memory") as warehouse:
    receipt = load(warehouse, ref(sys.argv[1]), contract=VISITS, settings=settings)
print(receipt.rows_loaded, peak_mb())
"""


@pytest.fixture(scope="module")
def block() -> bytes:
    """Records without a header."""
    return visit_records(ROWS)


def csv(block: bytes, count: int) -> Iterator[bytes]:
    yield HEADER
    yield from [block] * count


def csv_gz(block: bytes, count: int) -> Iterator[bytes]:
    # Several gzip members in a row are a valid gzip file, so each block is compressed once.
    yield gzip.compress(next(csv(block, 0)))
    yield from [gzip.compress(block, 1)] * count


def records_of(block: bytes) -> "pyarrow.Table":
    text = pyarrow.string()
    return pyarrow.csv.read_csv(
        io.BytesIO(block),
        read_options=pyarrow.csv.ReadOptions(column_names=list(COLUMNS)),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, text), strings_can_be_null=True),
    )


@lru_cache(maxsize=1)
def lines_of(block: bytes) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records_of(block).to_pylist()).encode()


def ndjson(block: bytes, count: int) -> Iterator[bytes]:
    yield from [lines_of(block)] * count


def document(block: bytes, count: int) -> Iterator[bytes]:
    lines = lines_of(block).strip().replace(b"\n", b",\n")
    yield b"["
    for number in range(count):
        yield (b",\n" if number else b"") + lines
    yield b"]"


def parquet(block: bytes, count: int) -> Iterator[bytes]:
    table, file = records_of(block), io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, table.schema) as writer:
        for _ in range(count):
            writer.write_table(table)
    yield file.getvalue()


def peak_of_load(key: str, rows: int, limit_mb: int) -> float:
    """Return the peak memory in MB of a process that only loads an object."""
    [line] = printed_by(LOAD, key, str(limit_mb))
    loaded, peak = line.split()
    assert int(loaded) == rows
    return float(peak)


@pytest.mark.parametrize(
    ("suffix", "content", "counts"),
    [
        pytest.param("csv", csv, (1, 3), id="csv"),
        pytest.param("csv.gz", csv_gz, (1, 3), id="csv.gz"),
        pytest.param("ndjson", ndjson, (1, 3), id="ndjson"),
        pytest.param("json", document, (1, 3), id="json"),
        pytest.param("parquet", parquet, (1, 3), id="parquet"),
    ],
)
def test_peak_memory_of_a_load_does_not_grow_with_the_object(
    block: bytes, suffix: str, content: Callable[[bytes, int], Iterator[bytes]], counts: tuple[int, ...]
) -> None:
    peaks = []
    with ready_connection(VISITS):
        for count in counts:
            key = f"{count}/visits.{suffix}"
            lake().write(key, content(block, count), "binary/octet-stream")
            peaks.append(peak_of_load(key, count * ROWS, SMALL_MB))
    assert max(peaks) < SMALL_MB, peaks
    assert max(peaks) < GROWTH * peaks[0] + NOISE_MB, peaks


def test_peak_memory_of_a_load_stays_within_the_limit_that_is_set_by_default(block: bytes) -> None:
    default_mb = RunSettings().load_memory_mb
    with ready_connection(VISITS):
        lake().write("5/visits.csv", csv(block, 5), "text/csv")
        assert peak_of_load("5/visits.csv", 5 * ROWS, default_mb) < default_mb
