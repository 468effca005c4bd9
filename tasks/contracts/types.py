"""Column types: their names in Postgres and descriptions of valid values.

`tasks/engine/formats/native/values.h` declares the C functions that parse each type. A text that they do not accept
rejects its row.
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_PRECISION = 37
"""Maximum number of digits of a decimal."""


@dataclass(frozen=True)
class ColumnType:
    """A declared type.

    Attributes:
        postgres: Name of the type in Postgres, which `columns.c` knows.
        expected: Description of a valid value, for the reason of a rejection.
        derive: Converts a text into the text of a value; returns None for an invalid value. The result is memoised per
            distinct input.
        derive_unclear: As `derive`, but only for texts that the type's C parser cannot decide.
        is_rounded: Only for decimals. If true, digits beyond the scale are rounded, half away from zero. Otherwise a
            number with nonzero digits beyond the scale is invalid.
    """

    postgres: str
    expected: str
    derive: Callable[[str], str | None] | None = None
    derive_unclear: Callable[[str], str | None] | None = None
    is_rounded: bool = False


def NUMERIC(precision: int, scale: int, *, rounded: bool = False) -> ColumnType:  # noqa: N802 - a type, as SQL writes it
    """`numeric(precision, scale)`, exact: the digits never pass through a float.

    Args:
        precision: Total number of digits, up to 37.
        scale: Number of digits after the point.
        rounded: See `ColumnType.is_rounded`.

    Raises:
        ValueError: Precision or scale is out of range.
    """
    if not 0 <= scale <= precision <= MAX_PRECISION or precision == 0:
        raise ValueError(
            f"expected a precision from 1 to {MAX_PRECISION} and a scale from 0 to the precision,"
            f" found numeric({precision}, {scale})"
        )
    digits = f"a number of at most {precision - scale} digits before the point"
    digits += f", rounded to {scale} after it" if rounded else f" and {scale} after it"
    return ColumnType(f"numeric({precision},{scale})", digits, is_rounded=rounded)


TEXT = ColumnType("text", "text without NUL")
UUID = ColumnType("uuid", "a UUID such as 123e4567-e89b-12d3-a456-426614174000")
INET = ColumnType("inet", "an IPv4 or IPv6 address")
DATE = ColumnType("date", "a date YYYY-MM-DD")
TIMESTAMPTZ = ColumnType("timestamptz", "a date YYYY-MM-DD or an ISO-8601 date-time")
TIMESTAMP_MS = ColumnType("timestamp(3)", "a date-time of whole milliseconds without an offset")
INTEGER = ColumnType("integer", "a whole number of 32 bits")
BIGINT = ColumnType("bigint", "a whole number of 64 bits")
BOOLEAN = ColumnType("boolean", "true or false")
