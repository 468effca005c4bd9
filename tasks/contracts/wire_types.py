"""Column types whose values are their form on the wire: uuid and inet."""

import binascii
import socket
from typing import cast

import polars as pl
import pyarrow as pa

from tasks.contracts.types import ColumnType, filled, matching

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"


def _fixed_binary(data: pa.Buffer | None, width: int, count: int) -> pl.Series:
    """Consecutive bytes as values of the same width."""
    array = pa.Array.from_buffers(pa.binary(width), count, [None, data])
    return cast("pl.Series", pl.from_arrow(array.cast(pa.large_binary())))


def _sound_uuids(series: pl.Series) -> pl.Series | None:
    """The bytes of UUIDs where all of them are canonical; else None."""
    count = len(series)
    if not count or series.null_count() or not (series.str.len_bytes() == 36).all():
        return None
    text = bytes(series.rechunk().to_arrow().buffers()[2] or b"")
    if len(text) != 36 * count or any(text[place::36].count(b"-") != count for place in (8, 13, 18, 23)):
        return None
    try:
        data = binascii.unhexlify(text.translate(None, b"-"))
    except binascii.Error:
        return None
    return _fixed_binary(pa.py_buffer(data), 16, count) if len(data) == 16 * count else None


def _uuid_batch(series: pl.Series) -> pl.Series:
    sound = _sound_uuids(series)
    if sound is not None:
        return sound
    hexadecimal = matching(pl.col("text"), _UUID).str.replace_all("-", "", literal=True)
    return series.to_frame("text").select(hexadecimal.str.decode("hex", strict=False)).to_series()


def parse_uuid(expr: pl.Expr) -> pl.Expr:
    """The 16 bytes of a UUID in its canonical spelling, in either case."""
    return expr.map_batches(_uuid_batch, return_dtype=pl.Binary, is_elementwise=True)


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
    numbers = ((a * 2**32) + (b * 2**40) + (c * 2**48) + (d * 2**56) + 0x04002002).fill_null(0).rechunk()
    packed = _fixed_binary(numbers.to_arrow().buffers()[1], 8, len(numbers))
    if is_v4.all(ignore_nulls=False):
        return packed
    out = pl.select(pl.when(is_v4).then(packed)).to_series()
    return filled(out, series, lambda rest: pl.Series([_inet6_bytes(text) for text in rest], dtype=pl.Binary))


def parse_inet(expr: pl.Expr) -> pl.Expr:
    """The wire form of an IPv4 or IPv6 address; no network mask, no zone, no leading zeros."""
    return expr.map_batches(_inet_batch, return_dtype=pl.Binary, is_elementwise=True)


UUID = ColumnType("uuid", "a UUID such as 123e4567-e89b-12d3-a456-426614174000", parse_uuid)
INET = ColumnType("inet", "an IPv4 or IPv6 address", parse_inet)
