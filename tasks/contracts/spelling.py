"""Spellings: how a supplier writes numbers, dates, times, booleans and bytes. They are declared, never guessed."""

import re
from dataclasses import dataclass
from typing import Literal

EPOCHS = ("epoch seconds", "epoch milliseconds")
"""Declarations of dates and timestamps that count from 1970-01-01 in UTC."""

_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DAY, _CLOCK = frozenset("YymdbBjaA"), frozenset("HIMSfp")
_PLAIN = frozenset("%")


@dataclass(frozen=True)
class Spelling:
    r"""How the texts of an object spell values. A field with its default accepts what Postgres accepts.

    A spelling applies to the text that `first`, `after` and `derive` of a column leave.

    Attributes:
        decimal: Character before the decimals of a number.
        thousands: Character between groups of three digits before the decimals, such as `.`, ` ` or U+00A0. Empty: no
            groups. A number may also be written without any groups.
        decimal_integers: Whether a whole number may have decimals that are zero: `517.0`. Pandas writes integers in
            this way if a value is missing.
        date: Format of dates as in Python's `strptime`, such as `%d.%m.%Y`, or one of `EPOCHS` for a count that is a
            whole day.
        time: Format of times of day as in `strptime`.
        timestamp: Format of timestamps as in `strptime`, or one of `EPOCHS`; a count may have decimals and a sign.
        true: Texts that mean true, exactly as written, besides those of Postgres.
        false: Texts that mean false.
        binary: Spelling of bytes: hexadecimal digits after `\x`, or base64.
    """

    decimal: Literal[".", ","] = "."
    thousands: str = ""
    decimal_integers: bool = False
    date: str = ""
    time: str = ""
    timestamp: str = ""
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    binary: Literal["hex", "base64"] = "hex"

    def __post_init__(self) -> None:
        """Check the spelling.

        Raises:
            ValueError: A field has an invalid value, or two fields contradict each other.
        """
        for problem in (_number_problem(self), *_clock_problems(self), _boolean_problem(self), _binary_problem(self)):
            if problem:
                raise ValueError(f"{problem}. Correct the Spelling of the contract")


def _number_problem(spelling: Spelling) -> str:
    if spelling.decimal not in (".", ","):
        return f'expected decimal to be "." or ",", found {spelling.decimal!r}'
    separator = spelling.thousands
    is_plain = len(separator) == 1 and not separator.isalnum() and separator not in "+-\0"
    if separator and (not is_plain or separator == spelling.decimal):
        return (
            "expected thousands to be one character that is neither a digit, a letter, a sign nor the decimal"
            f" {spelling.decimal!r}, found {separator!r}"
        )
    return ""


def _clock_problems(spelling: Spelling) -> list[str]:
    return [
        _format_problem("date", spelling.date, _DAY, EPOCHS),
        _format_problem("time", spelling.time, _CLOCK, ()),
        _format_problem("timestamp", spelling.timestamp, _DAY | _CLOCK | {"z"}, EPOCHS),
    ]


def _format_problem(field: str, declared: str, allowed: frozenset[str], words: tuple[str, ...]) -> str:
    """Describe why a format does not determine a value. Return an empty text for a sound format."""
    if not declared or declared in words:
        return ""
    found = _DIRECTIVE.findall(declared)
    named = ", ".join(f"%{one}" for one in sorted(allowed, key=lambda one: (one.lower(), one)))
    choices = " or ".join(["a strptime format", *(f'"{word}"' for word in words)])
    if unknown := [one for one in found if one not in allowed | _PLAIN]:
        return f"expected {field} to be {choices} with the directives {named}; found %{unknown[0]} in {declared!r}"
    if twice := [one for one in found if one != "%" and found.count(one) > 1]:
        return f"expected {field} to contain each directive once, found %{twice[0]} twice in {declared!r}"
    if missing := _missing(set(found), needs_day=field != "time", needs_clock=field == "time"):
        return f"expected {field} to be {choices} that contains {missing}, found {declared!r}"
    return ""


def _missing(found: set[str], *, needs_day: bool, needs_clock: bool) -> str:
    """Name the directives that a format lacks."""
    has_day = ("d" in found and found & set("mbB")) or "j" in found
    if needs_day and not (has_day and found & set("Yy")):
        return "a year (%Y or %y), a month (%m, %b or %B) and a day (%d)"
    if ("I" in found) != ("p" in found):
        return "%I and %p together"
    if (needs_clock or found & _CLOCK) and not found & set("HI"):
        return "an hour (%H, or %I with %p)"
    return ""


def _boolean_problem(spelling: Spelling) -> str:
    for field, texts in (("true", spelling.true), ("false", spelling.false)):
        if not is_tuple_of_texts(texts) or any(not text or text.strip() != text for text in texts):
            return f'expected {field} to be texts without blanks around them, such as ("yes",), found {texts!r}'
    if both := set(spelling.true) & set(spelling.false):
        return f"expected texts that mean either true or false, found both for {', '.join(map(repr, sorted(both)))}"
    return ""


def _binary_problem(spelling: Spelling) -> str:
    is_valid = spelling.binary in ("hex", "base64")
    return "" if is_valid else f'expected binary to be "hex" or "base64", found {spelling.binary!r}'


def is_tuple_of_texts(value: object) -> bool:
    """Return whether a value is a tuple of texts. A single text in its place is a common mistake: `("NA")`."""
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


AS_POSTGRES = Spelling()
"""The spellings of Postgres, without an addition."""
