"""Validation: from delivered strings to typed values, with every value that is none told by column and reason."""

from dataclasses import dataclass

import polars as pl

from tasks.contracts import Column, Contract
from tasks.engine.batches import Batch
from tasks.engine.errors import ContractError
from tasks.engine.ledger import RejectedRow


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
    sources = pl.DataFrame(list(given.values()))
    typed = sources.select(
        (column.parse or column.type.parse)(pl.col(column.source_name)).alias(column.name)
        for column in contract.columns
    )
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
