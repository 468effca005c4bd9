"""Values: which types all texts of a column have, and which texts mean that a value is missing."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from tasks.engine.load.written_values import DATES, MOMENTS, NULL_MARKERS

_MARKERS = (*sorted(NULL_MARKERS), "")
"""Texts that mean "no value" in a column whose other values have a type."""

TRUE, FALSE = ("true", "t", "yes", "y", "on"), ("false", "f", "no", "n", "off")

_WHOLE = r"^[+-]?(?:0|[1-9][0-9]*)$"
_DECIMAL = r"^[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)$"
_REAL = r"^[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_COMMA = r"^[+-]?(?:0|[1-9][0-9]*),[0-9]+$|^[+-]?(?:0|[1-9][0-9]*)$"
_DATE = r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"
_MOMENT = _DATE[:-1] + r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = r" ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_UUID = r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
_IP = (
    r"^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:/(?:3[0-2]|[12]?[0-9]))?$"
)
_TIME = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?$"
_JSON = r"(?s)^\s*(?:\{.*\}|\[.*\])\s*$"


LONGEST_WHOLE = 100
"""Numbers with at least so many characters are larger than each type of whole numbers."""


@dataclass(frozen=True)
class Kind:
    """A type that all values of a column have.

    Attributes:
        name: Name of the type in Postgres, without precision.
        spelling: How the values are written, as keyword arguments of a spelling; empty if as Postgres writes them.
        note: What the values leave open, in plain English.
    """

    name: str
    spelling: tuple[tuple[str, str | bool], ...] = ()
    note: str = ""

    @property
    def is_list(self) -> bool:
        """Whether the values are lists."""
        return self.name.endswith("[]")

    @property
    def is_text(self) -> bool:
        """Whether a column of texts can hold the values: parquet has bytes and lists, which it cannot hold."""
        return not self.is_list and self.name != "bytea"


def kinds_of(values: pl.Series) -> Iterator[Kind]:
    """Yield the types that all distinct values have, from the narrowest to text.

    Args:
        values: The distinct texts, without missing values.
    """
    if len(values):
        texts = values.str.strip_chars(" ")
        for find in (_booleans, _numbers, _dates, _others):
            yield from find(texts)
    yield Kind("text")


def _all(values: pl.Series, pattern: str) -> bool:
    return bool(values.str.contains(pattern).all())


def _booleans(values: pl.Series) -> Iterator[Kind]:
    found = set(values.head(5).str.to_lowercase()) if len(values) <= 4 else set()
    for true, false in zip(TRUE, FALSE, strict=True):
        if found and found <= {true, false} and (len(found) == 2 or true == "true"):
            yield Kind("boolean")


def _numbers(values: pl.Series) -> Iterator[Kind]:
    if _all(values, _WHOLE):
        yield from _whole(values)
    elif whole := list(with_decimal_zero(values)):
        yield from whole
        yield Kind("numeric")
    elif _all(values, _DECIMAL):
        yield Kind("numeric")
    elif _all(values, _REAL):
        yield Kind("double precision")
    else:
        yield from _separated(values)


def with_decimal_zero(values: pl.Series) -> Iterator[Kind]:
    """Yield the types of whole numbers with a decimal zero, such as 517.0; nothing for other values."""
    if not len(values) or not _all(values, r"^[+-]?(?:0|[1-9][0-9]*)\.0$"):
        return
    note = "The values are whole numbers with a decimal zero, as pandas writes integers beside missing values."
    largest = _largest(value[:-2] for value in values)
    if largest < 1_000_000_000:
        yield Kind("integer", (("decimal_integers", True),), note)
    if largest < 2**63:
        yield Kind("bigint", (("decimal_integers", True),), note)


def _largest(numbers: Iterable[str]) -> int:
    """Return the largest whole number without its sign. Python converts no text of thousands of digits."""
    return max(abs(int(number)) if len(number) < LONGEST_WHOLE else 10**LONGEST_WHOLE for number in numbers)


def _whole(values: pl.Series) -> Iterator[Kind]:
    largest = _largest(values)
    if largest > 10_000_000 and _all(values, r"^(?:19|20)[0-9]{6}$") and _parse(values, "%Y%m%d"):
        yield Kind("date", (("date", "%Y%m%d"),))
    if largest < 1_000_000_000:
        yield Kind("integer")
    if largest < 2**63:
        yield Kind("bigint")
    yield Kind("numeric")


def _separated(values: pl.Series) -> Iterator[Kind]:
    """Numbers with a decimal comma, or with thousands separators. Where both fit, neither is proposed."""
    for decimal, thousands in ((".", ","), (",", ".")):
        point, group = re.escape(decimal), re.escape(thousands)
        number = rf"^[+-]?(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)(?:{point}[0-9]+)?$"
        is_clear = rf"{group}[0-9]{{3}}(?:{group}|{point})"
        if _all(values, number) and values.str.contains(is_clear).any():
            spelled = (("thousands", thousands),) if decimal == "." else (("decimal", ","), ("thousands", "."))
            is_whole = not values.str.contains(point).any()
            yield Kind("bigint" if is_whole else "numeric", spelled)
            return
    if _all(values, _COMMA):
        if not _all(values.filter(values.str.contains(",")), r",[0-9]{3}$"):
            yield Kind("numeric", (("decimal", ","),))
        else:
            yield Kind("text", (), "The comma may precede decimals or separate thousands, so the column is text.")


def _dates(values: pl.Series) -> Iterator[Kind]:
    if _all(values, _DATE) and _parse(values, "%Y-%m-%d"):
        yield Kind("date")
    elif _all(values, _MOMENT + _ZONE + "$"):
        yield Kind("timestamptz")
    elif _all(values, _MOMENT + "$"):
        yield Kind("timestamp")
    elif _all(values, _TIME):
        yield Kind("time")
    else:
        yield from _declared_dates(values)


def _declared_dates(values: pl.Series) -> Iterator[Kind]:
    """Dates in another order. Where two orders fit, none is proposed."""
    few = values.head(50)
    if not _all(few, r"^.{6}") or not _all(few, r"^[0-9]{1,4}[-/. ]|^[0-9]{8}$|^[A-Za-z]{3,9} [0-9]{1,2}"):
        return
    for name, formats in (("date", DATES), ("timestamp", MOMENTS)):
        fitting = [form for form in formats if _parse(few, form) and _parse(values, form)]
        if fitting and _differ(values, fitting):
            yield Kind("text", (), f"The values are dates, but both {fitting[0]} and {fitting[1]} fit all of them.")
        else:
            yield from (Kind(name, ((name, form),)) for form in fitting)
        if fitting:
            return


def _differ(values: pl.Series, formats: Sequence[str]) -> bool:
    first = values.str.strptime(pl.Datetime, _of_polars(formats[0]), strict=False)
    return any(
        not first.equals(values.str.strptime(pl.Datetime, _of_polars(each), strict=False)) for each in formats[1:]
    )


def _of_polars(form: str) -> str:
    """Return a format of Python's strptime as polars writes it."""
    return form.replace(".%f", "%.f")


def _parse(values: pl.Series, form: str) -> bool:
    kind = pl.Datetime if "%H" in form or "%I" in form else pl.Date
    parsed = values.str.strptime(kind, _of_polars(form), strict=False)
    if parsed.null_count():
        return False
    # A two-digit format must not read a year of four digits, nor the other way round.
    return not ("%Y" in form and parsed.dt.year().min() < 1000)  # type: ignore[operator]


def _others(values: pl.Series) -> Iterator[Kind]:
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("uuid", lambda: _all(values, _UUID)),
        ("inet", lambda: _all(values, _IP)),
        ("text[]", lambda: _all(values, r"^\s*\[") and _are_lists(values, str)),
        ("bigint[]", lambda: _all(values, r"^\s*\[") and _are_lists(values, int)),
        ("jsonb", lambda: _all(values, _JSON)),
    )
    yield from (Kind(name) for name, fits in checks if fits())


def _are_lists(values: pl.Series, kind: type[str] | type[int]) -> bool:
    """Whether all values are JSON lists of one type. Lists without any element do not show their type."""
    decode = msgspec.json.Decoder(list[kind | None]).decode  # type: ignore[valid-type]
    try:
        lists = [decode(value) for value in values]
    except ValueError:
        return False
    return any(one is not None for found in lists for one in found)


def without_markers(values: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """Return the distinct values without those that may mean a missing value, and the markers among the values."""
    is_marker = values.is_in(list(_MARKERS))
    found = set(values.filter(is_marker))
    return values.filter(~is_marker), tuple(marker for marker in _MARKERS if marker in found)


def looks_like_code(values: pl.Series) -> bool:
    """Whether the values are digits with leading zeros, such as postal codes, which a number would lose."""
    digits = values.str.contains(r"^[0-9]+$")
    return bool(len(values) and digits.all() and values.str.contains(r"^0[0-9]").any())


def is_email(values: pl.Series) -> bool:
    """Whether most values are e-mail addresses."""
    found = values.str.contains(r"^[^@\s]+@[^@\s]+\.[^@\s]+$").sum()
    return bool(len(values)) and found > 0.5 * len(values)


PERSONAL = re.compile(
    r"(^|_)(e_?mail|phone|mobile|fax|first_?name|last_?name|surname|full_?name|customer_?name|user_?name|person|ssn"
    r"|street|address|birth\w*|dob|iban|credit_?card|card_?number|passport|ip|ip_?address|password|token|secret)(_|$)"
)
"""Names of columns that usually hold personal data."""
