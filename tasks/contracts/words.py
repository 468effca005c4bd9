"""The column type text[]: a Python-style list of words, whose value is its form on the wire.

A Postgres array on the wire is its number of dimensions, whether it holds nulls, the type of its elements (25: text),
then the length and the first index of its one dimension, then each element behind its length; numbers are of four
bytes, big-endian. An empty array has no dimension. As long as words and lists are shorter than 128, all of it but the
words is ASCII, so that polars makes it of text.
"""

import ast
import struct
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import polars as pl
import pyarrow as pa

from tasks.contracts.types import ColumnType, filled

SHORT = 128
"""Words of fewer bytes, and lists of fewer words, are put together by polars."""

_EMPTY = b"\0\0\0\0\0\0\0\0\0\0\0\x19"
_ONE_DIMENSION = "\0\0\0\1\0\0\0\0\0\0\0\x19"

# As Python prints them, without escapes. First what nearly every list looks like, and can be split.
_PLAIN_WORDS = r"^\['[^'\"\\\r\n\x00]*'(?:, '[^'\"\\\r\n\x00]*')*\]$"
_WORD = r"""(?:'[^'\\\r\n\x00]*'|"[^"\\\r\n\x00]*")"""
_WORDS = rf"^\[(?:{_WORD}(?:, {_WORD})*)?\]$"


def _words(text: str) -> list[str] | None:
    try:
        value = ast.literal_eval(text)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            return None
        "".join(value).encode()  # an escape can spell half a character, which has no UTF-8
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if any("\0" in word for word in value) else value


def _split(text: pl.Series) -> pl.Series:
    """Lists of words from their spelling; null where there is none."""
    lists = _where(text.str.contains(_PLAIN_WORDS), text.str.tail(-2).str.head(-2).str.split("', '"))
    return filled(lists, text, _split_mixed)


def _split_mixed(text: pl.Series) -> pl.Series:
    quoted = text.str.extract_all(_WORD).list.eval(pl.element().str.tail(-1).str.head(-1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of a backslash that escapes nothing, here in other people's data
        return filled(
            _where(text.str.contains(_WORDS), quoted),
            text,
            lambda rest: pl.Series([_words(one) for one in rest], dtype=pl.List(pl.String)),
        )


def _where(condition: pl.Series, values: pl.Series) -> pl.Series:
    return values if condition.all(ignore_nulls=False) else pl.select(pl.when(condition).then(values)).to_series()


def _pack(lists: pl.Series) -> pl.Series:
    """The wire form of lists of words."""
    longest = lists.list.eval(pl.element().str.len_bytes().fill_null(SHORT)).list.max().fill_null(0)
    packed = _pack_short(_where((longest < SHORT) & (lists.list.len() < SHORT), lists))
    return filled(packed, lists, lambda rest: pl.Series([_pack_one(one) for one in rest], dtype=pl.Binary))


def _pack_one(words: Sequence[str | None]) -> bytes:
    head = struct.pack("!iiiii", 1, None in words, 25, len(words), 1)
    parts = (
        b"\xff\xff\xff\xff" if word is None else struct.pack("!i", len(word.encode())) + word.encode() for word in words
    )
    return head + b"".join(parts)


@lru_cache(maxsize=1)
def _prefixes() -> pl.Series:
    """What stands before a word: its length n, at index n; at k * 128 + n the head of a list of k words as well."""
    lengths = [f"\0\0\0{chr(length)}" for length in range(SHORT)]
    heads = [f"{_ONE_DIMENSION}\0\0\0{chr(count)}\0\0\0\1" for count in range(1, SHORT)]
    return pl.Series(lengths + [head + length for head in heads for length in lengths])


def _pack_short(lists: pl.Series) -> pl.Series:
    array: Any = lists.rechunk().to_arrow()
    words, places = cast("pl.Series", pl.from_arrow(array.values)), cast("pl.Series", pl.from_arrow(array.offsets))
    counts = lists.list.len()
    first = counts > 0
    starts = places.head(len(lists)).filter(first)
    kinds = words.str.len_bytes().clip(upper_bound=SHORT - 1)  # longer ones stand in lists that were taken out
    kinds = kinds.scatter(starts, kinds.gather(starts) + counts.filter(first).cast(pl.UInt32) * SHORT)
    # One word's bytes lie behind the other's: a list's are those from its first word on.
    parts: Any = (_prefixes().gather(kinds) + words).to_arrow()
    ends = cast(
        "pl.Series", pl.from_arrow(pa.Array.from_buffers(pa.int64(), len(words) + 1, [None, parts.buffers()[1]]))
    )
    bounds: Any = ends.gather(places).to_arrow()
    buffers = [None, bounds.buffers()[1], parts.buffers()[2]]
    packed = cast("pl.Series", pl.from_arrow(pa.Array.from_buffers(pa.large_binary(), len(lists), buffers)))
    return pl.select(pl.when(counts == 0).then(pl.lit(_EMPTY)).when(counts > 0).then(packed)).to_series()


def _words_batch(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        return _pack(_split(series))
    # As parquet delivers them.
    has_nul = series.list.eval(pl.element().str.contains("\0", literal=True)).list.any()
    return _pack(_where(~has_nul.fill_null(value=False), series))


def parse_words(expr: pl.Expr) -> pl.Expr:
    """A Python-style list of words, `['a', "b, c"]`; either quote style, escapes as Python writes them."""
    return expr.map_batches(_words_batch, return_dtype=pl.Binary, is_elementwise=True)


WORDS = ColumnType("text[]", "a list of words such as ['a', 'b']", parse_words, takes_lists=True)
