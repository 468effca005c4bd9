"""Validation: from delivered strings to typed values, with every value that is none told by column and reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from tasks.contracts import Column, Contract
from tasks.contracts.types import parse_text
from tasks.engine.batches import Batch
from tasks.engine.errors import ContractError
from tasks.engine.ledger import RejectedRow

SAMPLE = 1000
MOSTLY_DISTINCT = 0.96
"""Share of distinct values in a sample of a column beyond which it is parsed row by row."""


@dataclass(frozen=True)
class Validated:
    """The rows of a batch: typed, in the contract's columns, and the rejected ones."""

    rows: pl.DataFrame
    rejected: list[RejectedRow]


def validate(contract: Contract, batch: Batch) -> Validated:
    """Parse a batch by its contract.

    A row is rejected for the first of its columns, in the contract's order, that holds no value of its type, or nothing
    where the contract wants something. An empty string is a value of a text only.

    Raises:
        ContractError: A typed format delivers a column in a type that has no spelling.
    """
    given = {column.source_name: _given(batch.frame[column.source_name], column) for column in contract.columns}
    parsed = pl.DataFrame(
        [series for source in given.values() for series in _parsed(source, contract.columns).get_columns()]
    )
    typed = parsed.select(column.name for column in contract.columns)
    reasons: dict[int, tuple[str, str]] = {}
    for column in reversed(contract.columns):
        values, source = typed[column.name], given[column.source_name]
        if values.null_count() == 0:
            continue
        is_missing = source.is_null() | ((source == "") if source.dtype == pl.String else False)
        for row in (values.is_null() & ~is_missing).arg_true():
            reasons[row] = (column.source_name, f"{column.source_name}: expected {column.type.expected}")
        if not column.nullable:
            for row in (values.is_null() & is_missing).arg_true():
                reasons[row] = (
                    column.source_name,
                    f"{column.source_name}: expected {column.type.expected}, found nothing",
                )
    if not reasons:
        return Validated(typed, batch.rejected)
    bad = pl.Series(sorted(reasons), dtype=pl.UInt32)
    rejected = [
        RejectedRow(number, *reasons[row], raw)
        for row, number, raw in zip(bad, batch.line_numbers.gather(bad), batch.raw_of(bad), strict=True)
    ]
    keep = pl.repeat(True, len(typed), eager=True).scatter(bad, False)
    return Validated(typed.filter(keep), sorted(batch.rejected + rejected, key=lambda r: r.line_number))


def _parsed(source: pl.Series, columns: Sequence[Column]) -> pl.DataFrame:
    """The columns that come from a source; where its values repeat, each is parsed once."""
    parsers = {
        column.name: column.parse or column.type.parse for column in columns if column.source_name == source.name
    }
    # To look at a text takes no longer than to find the ones that repeat.
    is_plain = all(parse is parse_text for parse in parsers.values())
    values, places = (source, None) if is_plain else _distinct(source)
    typed = values.to_frame().with_columns(**{name: parse(pl.col(source.name)) for name, parse in parsers.items()})
    typed = typed.select(*parsers)
    return typed if places is None else typed.select(pl.all().gather(places))


def _distinct(source: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """Distinct values, and the place of each row's value among them; the values as they are where few repeat."""
    sample = source.head(SAMPLE)
    if source.dtype != pl.String or len(source) <= SAMPLE or sample.n_unique() > SAMPLE * MOSTLY_DISTINCT:
        return source, None
    # Null is a value like others: a column may make something of it.
    encoded: Any = source.to_arrow().dictionary_encode(null_encoding="encode")
    values, places = pl.from_arrow(encoded.dictionary), pl.from_arrow(encoded.indices)
    return cast("pl.Series", values).alias(source.name), cast("pl.Series", places)


def _given(series: pl.Series, column: Column) -> pl.Series:
    """What a parser takes: strings; a typed format's other values in their ISO spelling, lists as they are."""
    dtype = series.dtype
    if dtype == pl.String or (column.type.takes_lists and dtype == pl.List(pl.String)):
        return series
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        lists = ", a list of texts" if column.type.takes_lists else ""
        raise ContractError(
            f"column {column.source_name}: expected text{lists}, a time or a number, found {dtype}."
            " Have the object written with another type"
        )
    if isinstance(dtype, pl.Datetime):
        zone = "%:z" if dtype.time_zone else ""
        return series.dt.to_string(f"%Y-%m-%dT%H:%M:%S%.6f{zone}")
    return series.cast(pl.String)
