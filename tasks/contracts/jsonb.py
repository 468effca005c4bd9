"""The column type jsonb."""

import re

import msgspec

from tasks.contracts.types import ColumnType

_check = msgspec.json.Decoder(msgspec.Raw).decode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_STRING_OR_NUMBER = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|([0-9]++)(?:\.([0-9]++))?(?:[eE]([+-]?[0-9]++))?')
_LARGE_NUMBER = re.compile(r"[eE][+-]?[0-9]{5}|[0-9]{16000}")


class _TooLargeError(ValueError):
    """A number that Postgres' numeric cannot hold."""


def _refuse_large(text: str) -> None:
    """Refuse JSON with such a number.

    Raises:
        _TooLargeError: There is one.
    """
    for token in _STRING_OR_NUMBER.finditer(text):  # one by one: decoded, JSON takes many times its size
        whole, fraction, exponent = token.group(1, 2, 3)
        # numeric holds 131,072 digits before the point and 16,383 after it.
        if whole and (len(whole) + int(exponent or 0) > 131_072 or len(fraction or "") - int(exponent or 0) > 16_383):
            raise _TooLargeError


def sound_json(text: str) -> str | None:
    r"""Return a JSON text unchanged if jsonb can hold it, else None: `\u0000` and numbers beyond numeric do not fit."""
    try:
        _check(text)
        if "\\u0000" in text and _NUL.search(text):
            return None
        if _LARGE_NUMBER.search(text):
            _refuse_large(text)
    except (ValueError, RecursionError):  # an exponent may have more digits than Python reads
        return None
    return text


JSONB = ColumnType("jsonb", r"JSON without \u0000 whose numbers Postgres can hold", sound_json)
