"""Conversion between string columns and data frames of polars."""

from collections.abc import Iterable

import polars as pl

from tasks.engine.formats.arrow_columns import arrays_of, string_columns_of_arrays
from tasks.engine.formats.string_columns import StringColumns


def string_columns_of(frame: pl.DataFrame) -> StringColumns:
    """Convert a frame of strings and lists of strings into string columns."""
    arrays = [series.rechunk().to_arrow() for series in frame.get_columns()]
    return string_columns_of_arrays(frame.columns, arrays, len(frame))


def frame_of(texts: StringColumns, names: Iterable[str] | None = None) -> pl.DataFrame:
    """Convert all or some columns into a frame of strings and lists of strings."""
    wanted = texts if names is None else texts.select([*names])
    return pl.DataFrame(dict(zip(wanted.names, map(pl.Series, arrays_of(wanted)), strict=True)))
