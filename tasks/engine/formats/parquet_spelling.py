"""Spelling of parquet values by polars: floats, bytes, and the dates and times that `parquet_clocks` leaves."""

import re
from typing import Any

import polars as pl
import pyarrow as pa

from tasks.engine.errors import ContractError

_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")

_FIRST_DAY, _LAST_DAY = -96_465_291, 95_026_235
"""Days from 1970 to the first and the last day that polars can spell with any offset. For other days, polars panics."""

_UNITS_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def hex_digits(values: Any, prefix: str) -> Any:
    """Convert bytes into their hexadecimal digits, with a prefix."""
    return (prefix + pl.Series(values.cast(pa.large_binary())).bin.encode("hex")).to_arrow()


def texts_of(values: Any, written: pa.DataType, column: str) -> Any:
    """Convert floats, dates, times or nulls into texts.

    A day that polars cannot spell becomes a text with its number, as Arrow writes it. The load rejects this text.

    Args:
        values: Values with parquet's own type.
        written: The writer's type of these values.
        column: Name of the object and of its column, for the message.

    Raises:
        ContractError: The time zone is unknown.
    """
    series = pl.Series(values)
    if not isinstance(series.dtype, pl.Date | pl.Datetime):
        return _texts_of(series, written, column).to_arrow()
    per_day = _UNITS_PER_DAY[series.dtype.time_unit] if isinstance(series.dtype, pl.Datetime) else 1
    numbers = series.to_physical()
    has_spelling = (numbers // per_day).is_between(_FIRST_DAY, _LAST_DAY)
    if has_spelling.all():
        return _texts_of(series, written, column).to_arrow()
    texts = _texts_of(series.set(~has_spelling, None), written, column)
    others = pl.select(pl.format("<value out of range: {}>", numbers)).to_series()
    return texts.zip_with(has_spelling, others).to_arrow()


def _texts_of(values: pl.Series, written: pa.DataType, column: str) -> pl.Series:
    if not isinstance(values.dtype, pl.Datetime):
        return values.cast(pl.String)
    zone = written.tz if pa.types.is_timestamp(written) else None
    clock = "%Y-%m-%dT%H:%M:%S%.6f"
    if values.dtype.time_zone is None or zone is None:
        return values.dt.to_string(clock)
    local = values.dt.replace_time_zone(None)
    if fixed := _FIXED_OFFSET.fullmatch(zone):
        sign, hours, minutes = fixed.groups()
        offset = int(hours) * 60 + int(minutes)
        moved = local + pl.duration(minutes=offset if sign == "+" else -offset)
        shifted = pl.select(moved).to_series()
        return shifted.dt.to_string(f"{clock}{sign}{hours}:{minutes}")
    try:
        # Historical offsets may have seconds.
        return values.dt.convert_time_zone(zone).dt.to_string(f"{clock}%::z")
    except pl.exceptions.PolarsError as error:
        raise ContractError(
            f"{column}: expected times in a known time zone, found {zone!r}. Write the object in UTC"
        ) from error
