"""Read rows of a binary COPY: the tests' own reader for the engine's output."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import polars as pl

from tasks.contracts import Column, Contract
from tasks.contracts.types import ColumnType
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.frames import string_columns_of
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.rejected_rows import RejectedRow

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
Values = list[dict[str, Any]]


@dataclass(frozen=True)
class Validated:
    """The rows of a batch as values by column, and the rejected rows."""

    rows: Values
    rejected: list[RejectedRow]


def validated(contract: Contract, batch: Batch) -> Validated:
    rows = RowEncoder(contract).encode(batch)
    values = list(values_of(contract.columns, rows.data))
    assert len(values) == rows.count
    return Validated(values, rows.rejected)


def values_of(columns: Sequence[Column], data: bytes) -> Iterator[dict[str, Any]]:
    """Rows without constant columns."""
    place = 0
    while place < len(data):
        (count,) = struct.unpack_from("!h", data, place)
        assert count == len(columns)
        place += 2
        row = {}
        for column in columns:
            (size,) = struct.unpack_from("!i", data, place)
            place += 4
            row[column.name] = None if size < 0 else value_of(column.type, data[place : place + size])
            place += max(size, 0)
        yield row


def value_of(type_: ColumnType, data: bytes) -> Any:
    """A value in Python; bytes for a type that Python lacks."""
    read = READERS.get(type_.postgres.partition("(")[0], bytes)
    return read(data)


def moment_of(data: bytes) -> datetime:
    return EPOCH + timedelta(microseconds=number_of(data))


def number_of(data: bytes) -> int:
    return int.from_bytes(data, signed=True)


def decimal_of(data: bytes) -> Decimal:
    """Decode a numeric: groups of four digits, weight of the first group, sign, and number of decimals."""
    count, weight, sign, scale = struct.unpack_from("!hhHH", data)
    groups = struct.unpack_from(f"!{count}h", data, 8)
    assert len(data) == 8 + 2 * count
    assert all(0 <= group < 10_000 for group in groups)
    assert not groups or (groups[0] and groups[-1]), "zeros at either end"
    with localcontext(prec=100):
        value = sum((Decimal(group).scaleb(4 * (weight - place)) for place, group in enumerate(groups)), Decimal(0))
        assert value == round(value, scale), "digits beyond the scale"
        return -value if sign == 0x4000 else value


READERS: dict[str, Callable[[bytes], Any]] = {
    "text": bytes.decode,
    "date": lambda data: EPOCH.date() + timedelta(days=number_of(data)),
    "timestamptz": moment_of,
    "timestamp": lambda data: moment_of(data).replace(tzinfo=None),
    "integer": number_of,
    "bigint": number_of,
    "boolean": {b"\0": False, b"\1": True}.__getitem__,
    "numeric": decimal_of,
}


def one_column(type_: ColumnType) -> Contract:
    """The contract of a table of one column, x."""
    return contract_of(Column("x", type_, "Any."))


def contract_of(*columns: Column) -> Contract:
    return Contract("things", "s.things", "Any.", columns, "p")


def batch_of(name: str, texts: Sequence[str | None]) -> Batch:
    """Texts of one column."""
    frame = pl.DataFrame({name: pl.Series(texts, dtype=pl.String)})
    columns, lines = ColumnMatch({name: 0}, (name,), ()), LineNumbers.of(range(len(texts)))
    return Batch(string_columns_of(frame), lambda rows: [(row, b"") for row in rows], columns, lines)


def binary_forms_of(type_: ColumnType, texts: Sequence[str | None]) -> list[bytes | None]:
    """The binary form of each text in a column of a type; None for a null or an invalid value."""
    rows = RowEncoder(one_column(type_)).encode(batch_of("x", texts))
    found: list[bytes | None] = []
    place = 0
    while place < len(rows.data):
        (size,) = struct.unpack_from("!i", rows.data, place + 2)
        found.append(None if size < 0 else rows.data[place + 6 : place + 6 + size])
        place += 6 + max(size, 0)
    for bad in rows.invalid:
        found.insert(bad, None)
    return found


def parsed(type_: ColumnType, *texts: str | None) -> list[Any]:
    """The values of texts in a column of a type; None for a null or an invalid value."""
    return parsed_by(Column("x", type_, "Any."), *texts)


def parsed_by(column: Column, *texts: str | None) -> list[Any]:
    """The values of texts in a given column."""
    rows = RowEncoder(contract_of(column)).encode(batch_of(column.source_name, texts))
    values = [row[column.name] for row in values_of([column], rows.data)]
    for place in rows.invalid:
        values.insert(place, None)
    return values
