"""Spelling of parquet values by polars: floats, bytes, and the dates and times that `parquet_clocks` leaves."""

import re
from typing import Any

import polars as pl
import pyarrow as pa

from tasks.engine.errors import ContractError

_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def hex_digits(values: Any, prefix: str) -> Any:
    """Convert bytes into their hexadecimal digits, with a prefix."""
    return (prefix + pl.Series(values.cast(pa.large_binary())).bin.encode("hex")).to_arrow()


def spelt(values: Any, written: pa.DataType, column: str) -> Any:
    """Convert floats, dates, times or nulls into texts.

    Args:
        values: Values with parquet's own type.
        written: The writer's type of these values.
        column: Name of the object and of its column, for the message.

    Raises:
        ContractError: The time zone is unknown.
    """
    return _spelt(pl.Series(values), written, column).to_arrow()


def _spelt(values: pl.Series, written: pa.DataType, column: str) -> pl.Series:
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
