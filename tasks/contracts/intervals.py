"""The column type interval: durations as Postgres and ISO 8601 write them."""

import re
from decimal import ROUND_HALF_EVEN, Decimal

from tasks.contracts.spelt_types import BLANKS
from tasks.contracts.types import ColumnType

_SECOND, _DAY = 1_000_000, 86_400_000_000
_UNITS: dict[str, tuple[str, int]] = {
    "year": ("months", 12),
    "month": ("months", 1),
    "week": ("days", 7),
    "day": ("days", 1),
    "hour": ("microseconds", 3600 * _SECOND),
    "minute": ("microseconds", 60 * _SECOND),
    "second": ("microseconds", _SECOND),
    "millisecond": ("microseconds", 1000),
    "microsecond": ("microseconds", 1),
}
_NAMES = {
    "year": "years year yrs yr y",
    "month": "months month mons mon",
    "week": "weeks week w",
    "day": "days day d",
    "hour": "hours hour hrs hr h",
    "minute": "minutes minute mins min m",
    "second": "seconds second secs sec s",
    "millisecond": "milliseconds millisecond msecs msec ms",
    "microsecond": "microseconds microsecond usecs usec us",
}
"""Names of the units in Postgres."""

_UNIT_OF = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_NUMBER = r"[+-]?\d{1,12}(?:\.\d{1,12})?"
_CLOCK = r"([+-]?)(\d{1,7}):(\d\d)(?::(\d\d)(?:\.(\d{1,6})0*)?)?"
_VERBOSE = re.compile(rf"\s*(?:({_NUMBER})\s*([a-z]+)|{_CLOCK})(?=[\s,]|$),?", re.ASCII)
_ISO = re.compile(r"([+-]?\d{1,12}(?:\.\d{1,12})?)([YMWDHS])", re.ASCII)
_ISO_WHOLE = re.compile(rf"P(?=.)((?:{_NUMBER}[YMWD])*)(?:T((?:{_NUMBER}[HMS])+))?", re.ASCII)
_ISO_DAY = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_ISO_TIME = {"H": "hour", "M": "minute", "S": "second"}
_MONTHS, _DAYS, _MICROSECONDS = 2**31, 2**31, 2**63


def interval_parts(text: str) -> str | None:
    """Return the months, days and microseconds of a duration, with blanks between them; None for another text."""
    stripped = text.strip(BLANKS)
    parts = _iso_parts(text) if stripped.startswith("P") else _verbose_parts(stripped.lower())
    if parts is None:
        return None
    total = {"months": 0, "days": 0, "microseconds": 0}
    for number, unit in parts:
        for field, value in _share(number, unit).items():
            total[field] += value
    limits = zip(total.values(), (_MONTHS, _DAYS, _MICROSECONDS), strict=True)
    return " ".join(map(str, total.values())) if all(-limit <= value < limit for value, limit in limits) else None


def _iso_parts(text: str) -> list[tuple[Decimal, str]] | None:
    """Parse `P1Y2M3W4DT5H6M7.5S`."""
    whole = _ISO_WHOLE.fullmatch(text)
    if not whole:
        return None
    found = [(number, _ISO_DAY[unit]) for number, unit in _ISO.findall(whole[1])]
    found += [(number, _ISO_TIME[unit]) for number, unit in _ISO.findall(whole[2] or "")]
    return _distinct(found)


def _verbose_parts(text: str) -> list[tuple[Decimal, str]] | None:
    """Parse `1 year 2 mons 3 days -04:05:06.789`, with an optional `@` in front and `ago` at the end."""
    text, ago = text.removeprefix("@"), text.endswith(" ago")
    rest = text.removesuffix(" ago").rstrip()
    found: list[tuple[str, str]] = []
    while rest:
        match = _VERBOSE.match(rest)
        if not match:
            return None
        number, name, sign, *clock = match.groups()
        if number and name not in _UNIT_OF:
            return None
        found += [(number, _UNIT_OF[name])] if number else _clock_parts(sign, *clock)
        if (not number and int(clock[1]) > 59) or (not number and int(clock[2] or 0) > 60):
            return None
        rest = rest[match.end() :]
    parts = _distinct(found)
    return [(-number, unit) for number, unit in parts] if parts and ago else parts


def _clock_parts(
    sign: str, hours: str, minutes: str, seconds: str | None, fraction: str | None
) -> list[tuple[str, str]]:
    return [
        (sign + hours, "hour"),
        (sign + minutes, "minute"),
        (f"{sign}{seconds or 0}.{fraction or 0}", "second"),
    ]


def _distinct(found: list[tuple[str, str]]) -> list[tuple[Decimal, str]] | None:
    """Return the numbers, if there are any and each unit occurs once."""
    units = [unit for _, unit in found]
    return [(Decimal(number), unit) for number, unit in found] if units and len(set(units)) == len(units) else None


def _share(number: Decimal, unit: str) -> dict[str, int]:
    """Spread a number of units over months, days and microseconds as Postgres does: a month has 30 days."""
    field, size = _UNITS[unit]
    if unit == "year":  # Postgres rounds years to months
        return {"months": int(number) * 12 + _rounded((number - int(number)) * 12)}
    value = number * size
    if field == "microseconds":
        return {field: _rounded(value)}
    whole = int(number) * size
    days = (number - int(number)) * (30 if field == "months" else size)
    shares = {field: whole, "microseconds": _rounded((days - int(days)) * _DAY)}
    shares["days"] = shares.get("days", 0) + int(days)
    return shares


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_EVEN))


INTERVAL = ColumnType("interval", "a duration such as 1 day 02:03:04 or P1DT2H3M4S", interval_parts)
