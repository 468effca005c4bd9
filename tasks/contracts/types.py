"""Column types: their names in Postgres and descriptions of valid values.

`tasks/engine/formats/native/values.h` declares the C functions that parse each type. A text that they do not accept
rejects its row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_PRECISION = 37
"""Maximum number of digits of a decimal with a precision."""

MAX_LENGTH = 10_485_760
"""Maximum length of a varchar in Postgres."""

SUPPORTED = (
    "text", "varchar(n)", "uuid", "inet", "smallint", "integer", "bigint", "real", "double precision", "numeric",
    "numeric(p,s)", "boolean", "date", "time", "timestamp", "timestamp(3)", "timestamptz", "interval", "bytea", "jsonb",
    "text[]", "integer[]", "bigint[]",
)  # fmt: skip
"""Names of the types that a contract may declare, as `columns.c` knows them."""

_WITH_NUMBERS = re.compile(r"(?:varchar\(([1-9]\d{0,7})\)|numeric\((\d{1,2}),(\d{1,2})\))", re.ASCII)


@dataclass(frozen=True)
class ColumnType:
    """A declared type.

    Attributes:
        postgres: Name of the type in Postgres, one of `SUPPORTED`.
        expected: Description of a valid value, for the reason of a rejection.
        derive: Converts a text into the text of a value; returns None for an invalid value. The result is memoised per
            distinct input.
        derive_unclear: As `derive`, but only for texts that the type's C parser cannot decide.
        is_rounded: Only for decimals. If true, digits beyond the scale are rounded, half away from zero. Otherwise a
            number with nonzero digits beyond the scale is invalid.
        format: Only for dates and times. Format of `strptime` with numeric directives only. The C parser reads it, and
            `derive` gets only the texts that the C parser cannot decide.
    """

    postgres: str
    expected: str
    derive: Callable[[str], str | None] | None = None
    derive_unclear: Callable[[str], str | None] | None = None
    is_rounded: bool = False
    format: str = ""

    def __post_init__(self) -> None:
        """Check the name of the type.

        Raises:
            ValueError: Tally does not support the type.
        """
        if not _is_supported(self.postgres):
            raise ValueError(
                f"expected one of the types {', '.join(SUPPORTED)} with n from 1 to {MAX_LENGTH:,}, p from 1 to"
                f" {MAX_PRECISION} and s from 0 to p; found {self.postgres!r}. Declare a type of tasks.contracts.types"
            )


def _is_supported(name: str) -> bool:
    if match := _WITH_NUMBERS.fullmatch(name):
        length, precision, scale = (int(number or 0) for number in match.groups())
        return length <= MAX_LENGTH if length else 0 < precision <= MAX_PRECISION and scale <= precision
    return name in SUPPORTED and "n)" not in name and "p," not in name


def NUMERIC(precision: int | None = None, scale: int = 0, *, rounded: bool = False) -> ColumnType:  # noqa: N802 - a type, as SQL writes it
    """`numeric(precision, scale)`, or `numeric` without a limit. Exact: the digits never pass through a float.

    Args:
        precision: Total number of digits, up to 37. None: as many digits as Postgres stores.
        scale: Number of digits after the point.
        rounded: See `ColumnType.is_rounded`.

    Raises:
        ValueError: Precision or scale is out of range.
    """
    if precision is None and not scale and not rounded:
        return ColumnType("numeric", "a number that Postgres can store without a loss of digits")
    if precision is None or not 0 <= scale <= precision <= MAX_PRECISION or precision == 0:
        raise ValueError(
            f"expected a precision from 1 to {MAX_PRECISION} and a scale from 0 to the precision,"
            f" found numeric({precision}, {scale})"
        )
    digits = f"a number of at most {precision - scale} digits before the point"
    digits += f", rounded to {scale} after it" if rounded else f" and {scale} after it"
    return ColumnType(f"numeric({precision},{scale})", digits, is_rounded=rounded)


def VARCHAR(length: int) -> ColumnType:  # noqa: N802 - a type, as SQL writes it
    """`varchar(length)`: a longer text is invalid, unless only blanks exceed the length; they are removed."""
    return ColumnType(f"varchar({length})", f"text of at most {length} characters without NUL")


def one_of(*values: str) -> ColumnType:
    """Text with a list of allowed values, for the values of an enum. Any other text is invalid.

    Raises:
        ValueError: The list is empty, or contains a value twice or something that is not a text.
    """
    if not values or len(set(values)) < len(values) or not all(isinstance(value, str) for value in values):
        raise ValueError(f'expected distinct texts, such as one_of("open", "closed"), found {values!r}')

    def allowed(text: str) -> str | None:
        return text if text in values else None

    return ColumnType("text", f"one of {', '.join(map(repr, values))}", allowed)


TEXT = ColumnType("text", "text without NUL")
UUID = ColumnType("uuid", "a UUID such as 123e4567-e89b-12d3-a456-426614174000")
INET = ColumnType("inet", "an IPv4 or IPv6 address")
DATE = ColumnType("date", "a date YYYY-MM-DD")
TIME = ColumnType("time", "a time of day HH:MM or HH:MM:SS")
TIMESTAMP = ColumnType("timestamp", "a date YYYY-MM-DD or a date-time without an offset")
TIMESTAMPTZ = ColumnType("timestamptz", "a date YYYY-MM-DD or an ISO-8601 date-time")
TIMESTAMP_MS = ColumnType("timestamp(3)", "a date-time of whole milliseconds without an offset")
SMALLINT = ColumnType("smallint", "a whole number of 16 bits")
INTEGER = ColumnType("integer", "a whole number of 32 bits")
BIGINT = ColumnType("bigint", "a whole number of 64 bits")
REAL = ColumnType("real", "a number in the range of a float of 32 bits")
DOUBLE = ColumnType("double precision", "a number in the range of a float of 64 bits")
BOOLEAN = ColumnType("boolean", "true or false")
BYTEA = ColumnType("bytea", r"bytes in hexadecimal digits after \x")
INTEGER_ARRAY = ColumnType("integer[]", "a list of whole numbers of 32 bits such as {1,2} or [1, 2]")
BIGINT_ARRAY = ColumnType("bigint[]", "a list of whole numbers of 64 bits such as {1,2} or [1, 2]")
