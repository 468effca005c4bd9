"""Column types: how a delivered string becomes a value, what Postgres calls it, and its form on the wire.

A parser turns what is not a value into null; the validation tells that apart from a missing value. Parsers accept one
spelling each, by a pattern, because the parsers below them are lenient in ways that differ between versions.
"""

import ast
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

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
        parse: From the delivered string to a value; null where there is none.
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
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"
# As Python prints it, without quotes or escapes in a word: what nearly every list looks like, and can be split.
_PLAIN_WORDS = r"^\['[^'\"\\\r\n\x00]*'(?:, '[^'\"\\\r\n\x00]*')*\]$"


def _matching(expr: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(expr.str.contains(pattern)).then(expr)


def parse_text(expr: pl.Expr) -> pl.Expr:
    """Any text that Postgres can hold: without the character NUL."""
    return pl.when(~expr.str.contains("\0", literal=True)).then(expr)


def parse_date(expr: pl.Expr) -> pl.Expr:
    """A calendar day `YYYY-MM-DD`, years 0001 to 9999."""
    return _matching(expr, rf"^{_DATE}$").str.to_date("%Y-%m-%d", strict=False)


def parse_date_of_timestamp(expr: pl.Expr) -> pl.Expr:
    """The calendar day that an ISO-8601 date or date-time is written with, in its own offset."""
    return parse_date(expr.str.slice(0, 10))


def _filled(values: pl.Series, given: pl.Series, careful: Callable[[pl.Series], pl.Series]) -> pl.Series:
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
    return _filled(
        days, series, lambda rest: rest.to_frame("text").select(_parse_date_time(pl.col("text"))).to_series()
    )


def _parse_date_time(expr: pl.Expr) -> pl.Expr:
    plain = _matching(expr, _DATE_TIME).str.replace(" ", "T", literal=True)
    zoned = _matching(expr, _ZONED).str.replace(" ", "T", literal=True).str.replace("Z", "+00:00", literal=True)
    instant = zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    return pl.coalesce(
        plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.replace_time_zone("UTC"),
        # An offset can lead out of the years that clients of Postgres can read.
        pl.when(instant.is_between(_FIRST, _LAST)).then(instant),
    )


def parse_timestamp(expr: pl.Expr) -> pl.Expr:
    """An instant: an ISO-8601 date (its midnight) or date-time; UTC where it names no offset, years 0001 to 9999."""
    return expr.map_batches(_timestamp_batch, return_dtype=_INSTANT, is_elementwise=True)


def parse_uuid(expr: pl.Expr) -> pl.Expr:
    """The 16 bytes of a UUID in its canonical spelling, in either case."""
    return _matching(expr, _UUID).str.replace_all("-", "", literal=True).str.decode("hex", strict=False)


def _inet6_bytes(text: str) -> bytes | None:
    """Wire form of an IPv6 address: family, bits, not a CIDR, length, address. Postgres has no zones (`%eth0`)."""
    try:
        return b"\x03\x80\x00\x10" + socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


def _inet_batch(series: pl.Series) -> pl.Series:
    is_v4 = series.str.contains(_IPV4)
    octets = series.str.split_exact(".", 3).struct.unnest().cast(pl.UInt8, strict=False).cast(pl.UInt64)
    a, b, c, d = octets.get_columns()
    # The eight bytes 02 20 00 04 a b c d, as the little-endian number that they make.
    words = ((a * 2**32) + (b * 2**40) + (c * 2**48) + (d * 2**56) + 0x04002002).fill_null(0).rechunk()
    v4 = pa.Array.from_buffers(pa.binary(8), len(words), [None, words.to_arrow().buffers()[1]])
    packed = cast("pl.Series", pl.from_arrow(v4.cast(pa.large_binary())))
    if is_v4.all(ignore_nulls=False):
        return packed
    out = pl.select(pl.when(is_v4).then(packed)).to_series()
    return _filled(out, series, lambda rest: by_distinct(rest, _inet6_bytes, pl.Binary))


def parse_inet(expr: pl.Expr) -> pl.Expr:
    """The wire form of an IPv4 or IPv6 address; no network mask, no zone, no leading zeros."""
    return expr.map_batches(_inet_batch, return_dtype=pl.Binary, is_elementwise=True)


def _words(text: str) -> list[str] | None:
    try:
        value = ast.literal_eval(text)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            return None
        "".join(value).encode()  # an escape can spell half a character, which has no UTF-8
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if any("\0" in word for word in value) else value


def _words_batch(series: pl.Series) -> pl.Series:
    if series.dtype == pl.List(pl.String):  # as parquet delivers them
        has_nul = series.list.eval(pl.element().str.contains("\0", literal=True)).list.any()
        return pl.select(pl.when(~has_nul.fill_null(value=False)).then(series)).to_series()
    plain = series.str.contains(_PLAIN_WORDS)
    split = series.str.tail(-2).str.head(-2).str.split("', '")
    if not plain.all(ignore_nulls=False):
        split = pl.select(pl.when(plain).then(split)).to_series()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of a backslash that escapes nothing, here in other people's data
        return _filled(split, series, lambda rest: by_distinct(rest, _words, pl.List(pl.String)))


def parse_words(expr: pl.Expr) -> pl.Expr:
    """A Python-style list of words, `['a', "b, c"]`; either quote style, escapes as Python writes them."""
    return expr.map_batches(_words_batch, return_dtype=pl.List(pl.String), is_elementwise=True)


TEXT = ColumnType("text", "text without NUL", parse_text)
UUID = ColumnType("uuid", "a UUID such as 123e4567-e89b-12d3-a456-426614174000", parse_uuid)
DATE = ColumnType("date", "a date YYYY-MM-DD", parse_date)
TIMESTAMPTZ = ColumnType("timestamptz", "a date YYYY-MM-DD or an ISO-8601 date-time", parse_timestamp)
INET = ColumnType("inet", "an IPv4 or IPv6 address", parse_inet)
WORDS = ColumnType("text[]", "a list of words such as ['a', 'b']", parse_words, takes_lists=True)
