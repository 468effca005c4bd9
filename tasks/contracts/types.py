"""Column types: how a delivered string becomes a value, what Postgres calls it, and its form on the wire.

A parser turns what is not a value into null; the validation tells that apart from a missing value. Parsers accept one
spelling each, by a pattern, because the parsers below them are lenient in ways that differ between versions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    ArrowArray = pa.Array[Any]
else:
    ArrowArray = pa.Array


def _identity(expr: pl.Expr) -> pl.Expr:
    return expr


def _to_arrow(series: pl.Series) -> ArrowArray:
    return series.to_arrow()


@dataclass(frozen=True)
class ColumnType:
    """A declared type.

    Attributes:
        postgres: Type of the column in Postgres.
        expected: What a value looks like, for the reason of a rejection.
        parse: From the delivered string to a value; null where there is none. A function of the string alone: it may be
            called once for all rows that hold the same.
        to_arrow: From the values to the Arrow array whose binary COPY encoding is this Postgres type's.
        takes_lists: Whether `parse` takes the lists of strings that a typed format delivers, too.
    """

    postgres: str
    expected: str
    parse: Callable[[pl.Expr], pl.Expr] = _identity
    to_arrow: Callable[[pl.Series], ArrowArray] = _to_arrow
    takes_lists: bool = False


# Never `\d`: that is any script's digit.
_DATE = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DATE_TIME = rf"^{_DATE}[T ]{_TIME}(?:\.[0-9]{{1,6}})?$"
_ZONED = rf"^{_DATE}[T ]{_TIME}(?:\.[0-9]{{1,6}})?(?:Z|[+-](?:0[0-9]|1[0-5]):?[0-5][0-9])$"
_INSTANT = pl.Datetime("us", "UTC")
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def matching(expr: pl.Expr, pattern: str) -> pl.Expr:
    """Those strings that a pattern is found in; null for the others."""
    return pl.when(expr.str.contains(pattern)).then(expr)


def parse_text(expr: pl.Expr) -> pl.Expr:
    """Any text that Postgres can hold: without the character NUL."""
    return pl.when(~expr.str.contains("\0", literal=True)).then(expr)


def parse_date(expr: pl.Expr) -> pl.Expr:
    """A calendar day `YYYY-MM-DD`, years 0001 to 9999."""
    return matching(expr, rf"^{_DATE}$").str.to_date("%Y-%m-%d", strict=False)


def parse_date_of_timestamp(expr: pl.Expr) -> pl.Expr:
    """The calendar day that an ISO-8601 date or date-time is written with, in its own offset."""
    return parse_date(expr.str.slice(0, 10))


def filled(values: pl.Series, given: pl.Series, careful: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Values of a fast parser, and of a careful one for what the fast one left null."""
    rest = (values.is_null() & given.is_not_null()).arg_true()
    if rest.is_empty():
        return values
    count = len(values)
    order = pl.int_range(count, eager=True).scatter(rest, pl.int_range(count, count + len(rest), eager=True))
    return pl.concat([values, careful(given.gather(rest))]).gather(order)


def by_distinct(given: pl.Series, parse: Callable[[str], Any], dtype: Any) -> pl.Series:
    """What a Python function makes of each value, called once for each distinct one."""
    keys = given.drop_nulls().unique().alias("key")
    known = pl.DataFrame([keys, pl.Series("value", [parse(key) for key in keys], dtype=dtype)])
    return given.to_frame("key").join(known, on="key", how="left", maintain_order="left")["value"]


def _timestamp_batch(series: pl.Series) -> pl.Series:
    days = pl.select(parse_date(pl.lit(series))).to_series().cast(_INSTANT)
    return filled(days, series, lambda rest: rest.to_frame("text").select(_parse_date_time(pl.col("text"))).to_series())


def _parse_date_time(expr: pl.Expr) -> pl.Expr:
    plain = matching(expr, _DATE_TIME).str.replace(" ", "T", literal=True)
    zoned = matching(expr, _ZONED).str.replace(" ", "T", literal=True).str.replace("Z", "+00:00", literal=True)
    instant = zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    return pl.coalesce(
        plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.replace_time_zone("UTC"),
        # An offset can lead out of the years that clients of Postgres can read.
        pl.when(instant.is_between(_FIRST, _LAST)).then(instant),
    )


def parse_timestamp(expr: pl.Expr) -> pl.Expr:
    """An instant: an ISO-8601 date (its midnight) or date-time; UTC where it names no offset, years 0001 to 9999."""
    return expr.map_batches(_timestamp_batch, return_dtype=_INSTANT, is_elementwise=True)


TEXT = ColumnType("text", "text without NUL", parse_text)
DATE = ColumnType("date", "a date YYYY-MM-DD", parse_date)
TIMESTAMPTZ = ColumnType("timestamptz", "a date YYYY-MM-DD or an ISO-8601 date-time", parse_timestamp)
