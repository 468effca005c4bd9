"""The column type jsonb."""

import re

import msgspec
import polars as pl

from tasks.contracts.types import ColumnType

_check = msgspec.json.Decoder(msgspec.Raw).decode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LARGE_NUMBER = re.compile(r"[eE][+-]?[0-9]{5}|[0-9]{16000}")


class _TooLargeError(ValueError):
    """A number that Postgres' numeric cannot hold."""


def _refuse_large(text: str) -> float:
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    # numeric holds 131,072 digits before the point and 16,383 behind it.
    if len(whole) + int(exponent or 0) > 131_072 or len(fraction) - int(exponent or 0) > 16_383:
        raise _TooLargeError
    return 0.0


_check_numbers = msgspec.json.Decoder(float_hook=_refuse_large).decode


def _wire_form(text: str) -> bytes | None:
    raw = text.encode()
    try:
        _check(raw)
        if "\\u0000" in text and _NUL.search(text):
            return None
        if _LARGE_NUMBER.search(text):
            _check_numbers(raw)
    except (msgspec.DecodeError, _TooLargeError, RecursionError):
        return None
    return b"\x01" + raw


def _jsonb_batch(series: pl.Series) -> pl.Series:
    return pl.Series([text if text is None else _wire_form(text) for text in series], dtype=pl.Binary)


def parse_jsonb(expr: pl.Expr) -> pl.Expr:
    r"""The wire form of JSON that jsonb can hold: no `\u0000` in it, no number beyond numeric."""
    return expr.map_batches(_jsonb_batch, return_dtype=pl.Binary, is_elementwise=True)


JSONB = ColumnType("jsonb", "JSON", parse_jsonb)
