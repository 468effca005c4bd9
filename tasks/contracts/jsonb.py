"""The column type jsonb."""

import re

import msgspec

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


def sound_json(text: str) -> str | None:
    r"""JSON that jsonb can hold, as it is: no `\u0000` in it, no number beyond numeric."""
    try:
        _check(text)
        if "\\u0000" in text and _NUL.search(text):
            return None
        if _LARGE_NUMBER.search(text):
            _check_numbers(text)
    except (msgspec.DecodeError, _TooLargeError, RecursionError):
        return None
    return text


JSONB = ColumnType("jsonb", "JSON", sound_json)
