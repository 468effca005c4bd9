"""Column types of local times: a date-time as a clock shows it, without an offset."""

import polars as pl

from tasks.contracts.types import ColumnType

# Never `\d`: that is any script's digit. Behind milliseconds there may be nothing but the zeros of another spelling.
_DATE_TIME = (
    r"^(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3}0{0,3})?$"
)


def parse_timestamp_ms(expr: pl.Expr) -> pl.Expr:
    """A date-time of whole milliseconds without an offset, years 0001 to 9999."""
    sound = pl.when(expr.str.contains(_DATE_TIME)).then(expr).str.replace(" ", "T", literal=True)
    return sound.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)


TIMESTAMP_MS = ColumnType("timestamp(3)", "a date-time of whole milliseconds without an offset", parse_timestamp_ms)
