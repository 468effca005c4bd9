"""Column types of numbers and truth values, as JSON and CSV spell them: no padding, no plus, no leading zeros."""

from decimal import Decimal

import polars as pl

from tasks.contracts.types import ColumnType

_INTEGER = r"^-?(?:0|[1-9][0-9]{0,18})$"
_DECIMAL = r"^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?$"
_SCIENTIFIC = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]{1,4}$"
MAX_PRECISION = 37
"""Digits that a decimal may have on its way to Postgres: one less than Arrow's, for what rounding may add."""


def _parse_integer(expr: pl.Expr, dtype: type[pl.Int32 | pl.Int64]) -> pl.Expr:
    return pl.when(expr.str.contains(_INTEGER)).then(expr).cast(dtype, strict=False)


def parse_integer(expr: pl.Expr) -> pl.Expr:
    """A whole number from -2,147,483,648 to 2,147,483,647, written without point or exponent."""
    return _parse_integer(expr, pl.Int32)


def parse_bigint(expr: pl.Expr) -> pl.Expr:
    """A whole number from -2^63 to 2^63 - 1, written without point or exponent."""
    return _parse_integer(expr, pl.Int64)


def parse_boolean(expr: pl.Expr) -> pl.Expr:
    """`true` or `false`."""
    return pl.when(expr.is_in(["true", "false"])).then(expr == "true")


def _plain(series: pl.Series) -> pl.Series:
    """Numbers with an exponent in their plain spelling, which is exact; others as they are."""
    places = series.str.contains(_SCIENTIFIC).arg_true()
    if not len(places):
        return series
    plain = [_plain_spelling(text) for text in series.gather(places)]
    return series.clone().scatter(places, pl.Series(plain, dtype=pl.String))


def _plain_spelling(text: str) -> str | None:
    number = Decimal(text)
    # Beyond this no digit can stand in a column: the number is too large, or is as good as zero but not zero.
    is_near = number.is_zero() or abs(number.adjusted()) <= MAX_PRECISION + 1
    return format(number, "f") if is_near else ("0." + "0" * MAX_PRECISION + "1" if number.adjusted() < 0 else None)


def NUMERIC(precision: int, scale: int, *, rounded: bool = False) -> ColumnType:  # noqa: N802 - a type, as SQL writes it
    """`numeric(precision, scale)`, exact: the digits never pass through a float.

    Args:
        precision: Digits in all, up to 37.
        scale: Digits behind the point.
        rounded: Whether digits beyond the scale are rounded, half away from zero; else a number that has any but zeros
            there is none of this type.

    Raises:
        ValueError: There is no such type.
    """
    if not 0 <= scale <= precision <= MAX_PRECISION or precision == 0:
        raise ValueError(
            f"expected 1 to {MAX_PRECISION} digits, all or some of them behind the point,"
            f" found numeric({precision}, {scale})"
        )

    exact = pl.Decimal(precision, scale)
    one = pl.lit(Decimal(1).scaleb(-scale), dtype=pl.Decimal(MAX_PRECISION + 1, scale))

    def parse(expr: pl.Expr) -> pl.Expr:
        text = expr.map_batches(_plain, return_dtype=pl.String, is_elementwise=True)
        sign, whole, fraction = (text.str.extract(_DECIMAL, group) for group in (1, 2, 3))
        fraction = fraction.fill_null("")
        kept = fraction.str.slice(0, scale)
        rest = fraction.str.slice(scale)
        magnitude = (whole + "." + kept).str.strip_suffix(".").cast(exact, strict=False)
        if rounded:  # one digit tells: from 5 on it is at least a half, whatever follows
            wide = magnitude.cast(pl.Decimal(MAX_PRECISION + 1, scale))
            magnitude = pl.when(rest.str.contains("^[5-9]")).then(wide + one).otherwise(wide)
        else:
            magnitude = pl.when(rest.str.strip_chars("0") == "").then(magnitude)
        value = pl.when(sign == "-").then(-magnitude).otherwise(magnitude)
        return value.cast(exact, strict=False)

    digits = f"a number of at most {precision - scale} digits before the point"
    digits += f", rounded to {scale} behind it" if rounded else f" and {scale} behind it"
    return ColumnType(f"numeric({precision},{scale})", digits, parse)


INTEGER = ColumnType("integer", "a whole number of 32 bits", parse_integer)
BIGINT = ColumnType("bigint", "a whole number of 64 bits", parse_bigint)
BOOLEAN = ColumnType("boolean", "true or false", parse_boolean)
