"""Column types in the spelling that a contract declares."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from tasks.contracts.spelling import AS_POSTGRES, EPOCHS, Spelling
from tasks.contracts.types import ColumnType

BLANKS = " \t\n\v\f\r"
"""Characters that Postgres ignores at both ends of a value."""

INTEGERS = ("smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
CLOCKS = {"date": "date", "time": "time", "timestamp": "timestamp", "timestamptz": "timestamp"}
"""The field of a spelling for each type."""

_ADJACENT = re.compile(r"%[YmdyHMSfjI]%[YmdyHMSfjI]")
_NUMERIC = re.compile(r"(?:[^%]|%[%YmdyHMSf])*", re.DOTALL)
_COUNT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_EPOCH = date(1970, 1, 1)

Derive = Callable[[str], str | None]


def type_for_spelling(type_: ColumnType, spelling: Spelling) -> ColumnType:
    """Return a type that reads a spelling. A type with a function of its own reads its texts as before.

    Raises:
        ValueError: The spelling does not fit the type.
    """
    name = type_.postgres.partition("(")[0]
    if type_.derive or spelling == AS_POSTGRES:
        return type_
    if name in NUMBERS:
        return replace(type_, expected=type_.expected + _number_text(spelling, is_whole=name in INTEGERS))
    if field := CLOCKS.get(name):
        return _clock(type_, field, getattr(spelling, field))
    if name == "boolean" and (spelling.true or spelling.false):
        texts = f"{_listed(spelling.true)} for true, {_listed(spelling.false)} for false"
        return replace(type_, expected=f"{type_.expected}, or {texts}", derive=_boolean(spelling.true, spelling.false))
    if name == "bytea" and spelling.binary == "base64":
        return replace(type_, expected="bytes in base64")
    return type_


def is_packed(declared: str) -> bool:
    """Return whether no character separates two directives of a format: then each must have all its digits."""
    return bool(_ADJACENT.search(declared))


def _listed(texts: tuple[str, ...]) -> str:
    return " or ".join(map(repr, texts)) or "no other text"


def _number_text(spelling: Spelling, *, is_whole: bool) -> str:
    parts = []
    if not is_whole or spelling.decimal_integers:
        parts += [f"{spelling.decimal!r} before the decimals"] if spelling.decimal != "." else []
    if spelling.thousands:
        parts.append(f"{spelling.thousands!r} between groups of three digits or no groups")
    zeros = ", which may have decimals that are zero" if is_whole and spelling.decimal_integers else ""
    return zeros + (f", with {' and '.join(parts)}" if parts else "")


def _clock(type_: ColumnType, field: str, declared: str) -> ColumnType:
    if not declared:
        return type_
    if declared in EPOCHS:
        unit = declared.removeprefix("epoch ")
        if field == "date":
            expected = f"a count of {unit} since 1970-01-01 that is a whole day"
            return replace(type_, expected=expected, derive=_epoch_day(1 if unit == "seconds" else 1000))
        return replace(type_, expected=f"a count of {unit} since 1970-01-01 UTC")
    if "%z" in declared and type_.postgres != "timestamptz":
        raise ValueError(
            f"expected a format without %z for the type {type_.postgres}, which stores no offset, found {declared!r}."
            " Declare the type TIMESTAMPTZ, or a spelling of the column"
        )
    return replace(
        type_,
        expected=f"a {field} in the format {declared}",
        derive=_formatted(field, declared),
        format=declared if _is_numeric(declared) else "",
    )


def _is_numeric(declared: str) -> bool:
    """Return whether a format has only directives with a fixed range of digits, and the year once."""
    years = [one for one in re.findall(r"%(.)", declared, re.DOTALL) if one in "Yy"]
    is_plain = not _FOREIGN_DIGIT.search(declared) and "\0" not in declared
    return bool(_NUMERIC.fullmatch(declared)) and is_plain and len(years) < 2


def _boolean(true: tuple[str, ...], false: tuple[str, ...]) -> Derive:
    def plain(text: str) -> str:
        stripped = text.strip(BLANKS)
        return "true" if stripped in true else "false" if stripped in false else text

    return plain


def _epoch_day(unit: int) -> Derive:
    def day(text: str) -> str | None:
        count = text.strip(BLANKS)
        if not _COUNT.fullmatch(count):
            return None
        days = Decimal(count) / (86_400 * unit)
        if days != int(days):
            return None
        try:
            return (_EPOCH + timedelta(days=int(days))).isoformat()
        except OverflowError:
            return None

    return day


def _formatted(field: str, declared: str) -> Derive:
    """Return a function that reads a format with `strptime`.

    Directives without a character between them must have all their digits: otherwise `1112021` could mean two days.
    """
    has_all_digits = is_packed(declared)

    def iso(text: str) -> str | None:
        stripped = text.strip(BLANKS)
        if _FOREIGN_DIGIT.search(stripped):
            return None
        try:
            found = datetime.strptime(stripped, declared)  # noqa: DTZ007 - the type decides about the offset
        except ValueError:
            return None
        if has_all_digits and found.strftime(declared).lower() != stripped.lower():
            return None
        if field == "date":
            return found.date().isoformat()
        return found.time().isoformat() if field == "time" else found.isoformat()

    return iso
