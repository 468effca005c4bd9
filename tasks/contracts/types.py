"""Column types: what Postgres calls them, and what their values look like.

`tasks/engine/formats/native/values.h` declares the C functions that parse each type. A text that they do not accept
rejects its row.
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_PRECISION = 37
"""Digits that a decimal may have."""


@dataclass(frozen=True)
class ColumnType:
    """A declared type.

    Attributes:
        postgres: Type of the column in Postgres; `columns.c` knows it by this name.
        expected: What a value looks like, for the reason of a rejection.
        derive: What a text stands for, None where it is no value; called once for all rows that hold the same text.
        derive_unclear: The same, only of those texts that the type's own parser leaves open.
        is_rounded: Of a decimal: digits beyond the scale are rounded, half away from zero; else a number that has any
            but zeros there is none of this type.
    """

    postgres: str
    expected: str
    derive: Callable[[str], str | None] | None = None
    derive_unclear: Callable[[str], str | None] | None = None
    is_rounded: bool = False


def NUMERIC(precision: int, scale: int, *, rounded: bool = False) -> ColumnType:  # noqa: N802 - a type, as SQL writes it
    """`numeric(precision, scale)`, exact: the digits never pass through a float.

    Args:
        precision: Digits in all, up to 37.
        scale: Digits behind the point.
        rounded: See `ColumnType.is_rounded`.

    Raises:
        ValueError: There is no such type.
    """
    if not 0 <= scale <= precision <= MAX_PRECISION or precision == 0:
        raise ValueError(
            f"expected 1 to {MAX_PRECISION} digits, all or some of them behind the point,"
            f" found numeric({precision}, {scale})"
        )
    digits = f"a number of at most {precision - scale} digits before the point"
    digits += f", rounded to {scale} behind it" if rounded else f" and {scale} behind it"
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
