"""How suppliers write values: null markers, and the spellings of numbers, dates, times and truth values."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from tasks.contracts.spelling import EPOCHS, Spelling
from tasks.contracts.types import ColumnType

NULL_MARKERS = frozenset(
    (
        *("NA", "N/A", "n/a", "na", "NULL", "Null", "null", "None", "none", "NaN", "nan", "NAN", "\\N", "#N/A", "<NA>"),
        *("(null)", "(NULL)", "-", "--", "---", "?", ".", "..", "...", "*", "n.a.", "N.A.", "nil", "NIL", "missing"),
        *("unknown", "Unknown", "UNKNOWN", "NaT", "#N/A N/A", "#NULL!", "n/d", "k.A.", "\u2013", "\u2014"),
    )
)
"""Texts that mean "no value" in a column whose other values have a type."""

TRUTHS = (
    *(("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"), ("1", "0"), ("ja", "nein"), ("j", "n")),
    *(("oui", "non"), ("sí", "no"), ("si", "no"), ("s", "n"), ("sim", "não"), ("x", "-"), ("wahr", "falsch")),
    *(("vrai", "faux"), ("active", "inactive"), ("1.0", "0.0")),
)

DATES = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%Y/%m/%d", "%Y%m%d", "%Y.%m.%d"),
    *("%d-%m-%Y", "%m-%d-%Y", "%d-%b-%y", "%d-%b-%Y", "%b %d %Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y"),
    *("%d%m%Y", "%m%d%Y"),
)
"""Formats of dates besides the one of ISO 8601."""

CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p", "%H:%M:%S.%f", "%H%M%S", "%H%M")
"""Formats of times of day."""

MOMENTS = (*(f"{day}{gap}{clock}" for day, gap, clock in product((*DATES, "%Y-%m-%d"), (" ", "T", ", "), CLOCKS)),)
"""Formats of timestamps besides that of ISO 8601."""

_DIGITS = {"d": (1, 2), "m": (1, 2), "y": (2, 2), "Y": (4, 4), "f": (1, 6), **dict.fromkeys("SIMH", (1, 2))}
"""The fewest and the most digits of each directive of these formats; other directives have none."""

_MARKS = ".:/-,"
"""The punctuation of these formats."""

_Change = dict[str, Any]
_WHOLE: tuple[_Change, ...] = (
    {"decimal_integers": True},
    *({"thousands": mark} for mark in (",", ".", " ", "\u00a0", "\u202f", "'")),
)
_DECIMAL: tuple[_Change, ...] = (
    *({"thousands": mark} for mark in (",", " ", "'")),
    {"decimal": ","},
    *({"decimal": ",", "thousands": mark} for mark in (".", " ", "\u00a0", "\u202f", "'")),
)
_FAMILIES: dict[str, tuple[_Change, ...]] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), _WHOLE),
    **dict.fromkeys(("numeric", "real", "double precision"), _DECIMAL),
    "bytea": ({"binary": "base64"},),
}

Way = tuple[str, Spelling]
"""A spelling as the contract writes it, and the spelling."""


def spellings(type_: ColumnType, declared: Spelling, texts: Sequence[str]) -> Iterator[list[Way]]:
    """Yield groups of spellings that values of a type may have. Several of a group may take the same texts.

    Args:
        type_: The type.
        declared: The declared spelling, which the others change.
        texts: Texts that the declared spelling does not take.
    """
    family = type_.postgres.partition("(")[0]
    if family == "date":
        yield _ways(declared, ({"date": one} for one in possible_formats(DATES, texts)))
        yield _ways(declared, ({"date": one} for one in EPOCHS))
    elif family in ("timestamp", "timestamptz"):
        yield _ways(declared, ({"timestamp": one} for one in possible_formats(MOMENTS, texts)))
        yield _ways(declared, ({"timestamp": one} for one in possible_formats(DATES, texts)))
        yield _ways(declared, ({"timestamp": one} for one in _epochs(texts)))
    elif family == "time":
        yield _ways(declared, ({"time": one} for one in possible_formats(CLOCKS, texts)))
    elif family == "boolean":
        yield from _truths(declared, texts)
    else:
        yield from (_ways(declared, [change]) for change in _FAMILIES.get(family, ()))


def possible_formats(formats: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Return the formats whose digits and punctuation at least one of the texts has.

    Python compiles a pattern for each format that it tries, which takes about a millisecond.
    """
    shapes = {(sum(map(str.isdigit, text)), *map(text.count, _MARKS)) for text in texts}
    return [one for one in formats if any(_fits(_shape(one), shape) for shape in shapes)]


@cache
def _shape(declared: str) -> tuple[int, int, tuple[int, ...]]:
    """Return the fewest and the most digits of a format, and the number of each of its marks."""
    digits = [_DIGITS.get(directive, (0, 0)) for directive in re.findall("%(.)", declared)]
    return sum(few for few, _ in digits), sum(most for _, most in digits), tuple(map(declared.count, _MARKS))


def _fits(declared: tuple[int, int, tuple[int, ...]], found: tuple[int, ...]) -> bool:
    fewest, most, marks = declared
    return fewest <= found[0] <= most and found[1:] == marks


def _epochs(texts: Sequence[str]) -> list[str]:
    """Return the epochs, the likely one first: today's count of milliseconds has 13 digits, of seconds 10."""
    whole = [text.strip().partition(".")[0].lstrip("+-") for text in texts]
    is_long = any(len(text) > 11 for text in whole)
    return [EPOCHS[1] if is_long else EPOCHS[0]]


def _truths(declared: Spelling, texts: Sequence[str]) -> Iterator[list[Way]]:
    for true, false in TRUTHS:
        found = [tuple(sorted({text for text in texts if text.lower() == word})) for word in (true, false)]
        if any(found):
            yield _ways(declared, [{"true": (*declared.true, *found[0]), "false": (*declared.false, *found[1])}])


def _ways(declared: Spelling, changes: Iterable[_Change]) -> list[Way]:
    """Change a spelling. A change that contradicts the rest of the spelling is left out."""
    ways: list[Way] = []
    for change in changes:
        try:
            changed = replace(declared, **change)
        except ValueError:
            continue
        ways.append((_spelt(changed), changed))
    return ways


def _spelt(changed: Spelling) -> str:
    plain = Spelling()
    fields = ((name, getattr(changed, name)) for name in changed.__dataclass_fields__)
    spelt = ", ".join(f"{name}={_literal(value)}" for name, value in fields if value != getattr(plain, name))
    return f"Spelling({spelt})"


def _literal(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return '"' + ascii(value)[1:-1].replace('"', '\\"') + '"' if not value.isascii() else f'"{value}"'
    return repr(value)
