"""The conversion of CSV objects to Parquet: it loses and rounds no value, and reads no value as another value."""

import io
from datetime import datetime
from decimal import Decimal

import polars as pl
import pyarrow.parquet as pq
import pytest
from sample_dataset import lake, put

from tasks.contracts import Column, Contract
from tasks.contracts.types import BOOLEAN, DATE, INTEGER, NUMERIC, TEXT, TIMESTAMP_MS
from tasks.engine.errors import BalanceError
from tasks.engine.formats import csv_reader
from tasks.engine.sync import parquet_writer
from tasks.engine.sync.parquet_writer import MisfitError, ParquetBlocks

pytestmark = pytest.mark.usefixtures("bucket")

COLUMNS = {"n": INTEGER, "price": NUMERIC(10, 2), "at": TIMESTAMP_MS, "paid": BOOLEAN, "day": DATE, "note": TEXT}
CONTRACT = Contract(
    dataset="sold",
    table="sold_staging.sold",
    description="One row per sale.",
    columns=tuple(Column(name, type_, "Any.") for name, type_ in COLUMNS.items()),
)
HEADER = f"{','.join(COLUMNS)}\n".encode()
GOOD = b"1,12345678.90,2022-11-03 14:20:49.962,t,2022-11-31,\n"


def parquet(rows: bytes, row_count: int, as_text: tuple[str, ...] = ()) -> bytes:
    source = put(HEADER + rows, "input/1/sold.csv", "")
    return b"".join(ParquetBlocks(lake(), source, CONTRACT, row_count, as_text))


def frame(rows: bytes, row_count: int = 1, as_text: tuple[str, ...] = ()) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(parquet(rows, row_count, as_text)))


def test_values_have_the_types_of_the_contract_and_days_are_the_text_of_the_source() -> None:
    found = frame(GOOD)
    types = (pl.Int32, pl.Decimal(10, 2), pl.Datetime("ms"), pl.Boolean, pl.String, pl.String)
    assert found.schema == dict(zip(COLUMNS, types, strict=True))
    moment = datetime.fromisoformat("2022-11-03 14:20:49.962")
    assert found.row(0) == (1, Decimal("12345678.90"), moment, True, "2022-11-31", None)


def test_empty_text_is_no_null() -> None:
    rows = b'1,,,,,""\n2,,,,"",\n,,,f,,"a ""b"",\r\nc"\n'
    found = frame(rows, 3)
    assert found["note"].to_list() == ["", None, 'a "b",\r\nc']
    assert found["day"].to_list() == [None, "", None]
    assert (found["n"].to_list(), found["paid"].to_list()) == ([1, 2, None], [None, None, False])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", "2147483648"),
        ("n", '""'),
        ("price", "NaN"),
        ("price", "123456789.00"),
        ("at", "infinity"),
        ("at", "0044-03-15 12:00:00 BC"),
        ("paid", "yes"),
    ],
)
def test_column_with_an_invalid_value_is_text_in_that_file(column: str, value: str) -> None:
    bad = ",".join(value if name == column else "" for name in COLUMNS).encode() + b"\n"
    with pytest.raises(MisfitError) as caught:
        frame(GOOD + bad, 2)
    assert caught.value.columns == {column}
    found = frame(GOOD + bad, 2, (column,))
    assert found[column].to_list() == [GOOD.decode().split(",")[list(COLUMNS).index(column)], value.strip('"')]
    assert frame(GOOD).schema.items() - found.schema.items() == {(column, frame(GOOD).schema[column])}


@pytest.mark.parametrize(("rows", "row_count"), [(GOOD, 2), (GOOD * 2, 1), (b"", 1), (GOOD + b"1,2\n", 2)])
def test_object_that_is_not_what_was_exported_is_refused(rows: bytes, row_count: int) -> None:
    with pytest.raises(BalanceError, match=r"input/1/sold\.csv: expected the "):
        parquet(rows, row_count)


def test_rows_are_streamed_in_groups_and_the_same_rows_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(parquet_writer, "GROUP_BYTES", 10_000)
    rows = b"".join(b"%d,%d.00,,,,\n" % (number, number) for number in range(5000))
    source = put(HEADER + rows, "input/1/sold.csv", "")
    blocks = list(ParquetBlocks(lake(), source, CONTRACT, 5000))
    assert pq.ParquetFile(io.BytesIO(b"".join(blocks))).num_row_groups == len(blocks) - 1 > 5
    assert pl.read_parquet(io.BytesIO(b"".join(blocks)))["n"].to_list() == list(range(5000))
    assert list(ParquetBlocks(lake(), source, CONTRACT, 5000)) == blocks
