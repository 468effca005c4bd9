"""Wider types: the types that take more values than a declared type, the narrowest first."""

import re
from collections.abc import Iterator, Sequence

from tasks.contracts import types
from tasks.contracts.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    MAX_PRECISION,
    NUMERIC,
    SMALLINT,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARCHAR,
    ColumnType,
)

_WHOLE = (SMALLINT, INTEGER, BIGINT)
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
"""Number of digits of the largest value."""


Named = tuple[str, ColumnType]
"""A type as the contract names it, and the type."""


def wider_types(declared: ColumnType, texts: Sequence[str]) -> Iterator[Named]:
    """Yield the types that take more values than a declared type, except for text.

    Args:
        declared: The declared type.
        texts: Texts that the declared type does not take.
    """
    family = declared.postgres.partition("(")[0]
    if family in ("smallint", "integer", "bigint", "numeric", "real"):
        yield from _wider_numbers(declared, texts)
    elif family == "date":
        yield from (_named(one) for one in (TIMESTAMP, TIMESTAMPTZ))
    elif family == "timestamp":
        known = (TIMESTAMP, TIMESTAMPTZ)
        yield from (_named(one) for one in known if one != declared)
    elif family == "varchar":
        longest = max(map(len, texts), default=1)
        yield f"VARCHAR({longest})", VARCHAR(longest)


def _wider_numbers(declared: ColumnType, texts: Sequence[str]) -> Iterator[Named]:
    names = [one.postgres for one in _WHOLE]
    if declared.postgres in names:
        yield from (_named(one) for one in _WHOLE[names.index(declared.postgres) + 1 :])
    if declared.postgres != "real":
        for after in _scales(texts):
            if found := _numeric(declared, texts, after):
                yield f"NUMERIC({found[0]}, {found[1]})", NUMERIC(*found)
        yield "NUMERIC()", NUMERIC()
    yield _named(DOUBLE)


def _scales(texts: Sequence[str]) -> list[int]:
    """Return the number of digits after the last point or comma: it may be a decimal or a thousands separator."""
    found = [len(re.split(r"[.,]", text.strip())[-1]) if re.search(r"[.,]", text) else 0 for text in texts]
    return list(dict.fromkeys((max(found, default=0), 0)))


def _numeric(declared: ColumnType, texts: Sequence[str], after: int) -> tuple[int, int] | None:
    """Return the precision and the scale that take the declared type's values and the texts."""
    limits = [int(one) for one in re.findall(r"[0-9]+", declared.postgres)] or [
        _DIGITS.get(declared.postgres, 0),
        0,
    ]
    scale = max(limits[1], after)
    before: int = max([limits[0] - limits[1], *(_digits_before(text, after) for text in texts)])
    return (before + scale, scale) if before + scale <= MAX_PRECISION else None


def _digits_before(text: str, after: int) -> int:
    """Return the number of digits before the decimals. Without decimals, all digits count."""
    mantissa: str = re.split(r"[eE]", text)[0]
    decimals = len(re.split(r"[.,]", mantissa.strip())[-1]) if after and re.search(r"[.,]", mantissa) else 0
    return sum(one.isdigit() for one in mantissa) - decimals


def _named(type_: ColumnType) -> Named:
    names = (name for name, value in vars(types).items() if isinstance(value, ColumnType) and value == type_)
    return next(names), type_
