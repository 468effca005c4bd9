"""Partitions: the date in the key of a file, and the template of the keys of all files like it."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

_YEAR, _MONTH, _DAY = r"(?P<year>(?:19|20)[0-9]{2})", r"(?P<month>0[1-9]|1[0-2])", r"(?P<day>0[1-9]|[12][0-9]|3[01])"
_DATES = (
    rf"year={_YEAR}/month={_MONTH}/day={_DAY}",
    rf"year={_YEAR}/month={_MONTH}",
    rf"(?<![0-9]){_YEAR}/{_MONTH}/{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}-{_MONTH}-{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}_{_MONTH}_{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}{_MONTH}{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}/{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}-{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}_{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}{_MONTH}(?![0-9])",
)
_PART = re.compile(r"part-[0-9]+[^/]*?(?=(?:\.(?:snappy|gz|zstd|c000))*\.[a-z]+(?:\.gz|\.zst)?$)")

Unit = Literal["month", "day"]


@dataclass(frozen=True)
class KeyPattern:
    """The keys of files like the sample.

    Attributes:
        prefix: The part of the key that all files share: the folder.
        template: The rest of the key, with fields for the date and `*` for any text.
        unit: Period of one file; None if the name shows no date.
        example: The first day of the sample's period; None if the name shows no date.
        has_parts: Whether several files belong to one period.
    """

    prefix: str
    template: str
    unit: Unit | None = None
    example: date | None = None
    has_parts: bool = False


def pattern_of(key: str) -> KeyPattern:
    """Return the pattern of a key: `2013/01.csv` becomes `{year:04d}/{month:02d}.csv`, monthly."""
    for pattern in _DATES:
        found = re.search(pattern, key)
        parts = found.groupdict() if found else {}
        day = _date(parts)
        if found and day:
            begin = key.rfind("/", 0, found.start()) + 1
            text = _template(found, parts)
            rest, has_parts = _with_wildcard(key[found.end() :])
            unit: Unit = "day" if "day" in parts else "month"
            return KeyPattern(key[:begin], key[begin : found.start()] + text + rest, unit, day, has_parts)
    begin = key.rfind("/") + 1
    return KeyPattern(key[:begin], key[begin:])


def dated_pattern(pattern: KeyPattern, unit: Unit, example: date) -> KeyPattern:
    """Return a pattern for files whose names show no date: a folder for each year, and the date in the name."""
    stem, dot, suffix = pattern.template.partition(".")
    day = "-{day:02d}" if unit == "day" else ""
    template = f"{stem}-{{year:04d}}-{{month:02d}}{day}{dot}{suffix}"
    return KeyPattern(pattern.prefix, template, unit, example, pattern.has_parts)


def key_of(pattern: KeyPattern) -> str:
    """Return the key of the example below the prefix. A `*` is replaced by zeros."""
    day = pattern.example or date(2000, 1, 1)
    return pattern.template.format(year=day.year, month=day.month, day=day.day).replace("*", "00000")


def _date(parts: dict[str, str]) -> date | None:
    try:
        return date(int(parts["year"]), int(parts["month"]), int(parts.get("day", "1")))
    except (KeyError, ValueError):
        return None


def _template(found: re.Match[str], parts: dict[str, str]) -> str:
    text, end = "", found.start()
    for name in parts:
        text += found.string[end : found.start(name)] + f"{{{name}:0{4 if name == 'year' else 2}d}}"
        end = found.end(name)
    return text + found.string[end : found.end()]


def _with_wildcard(rest: str) -> tuple[str, bool]:
    """The rest of a key in which the number of a part file is `*`."""
    part = _PART.search(rest)
    if part is None:
        return rest, False
    return f"{rest[: part.start()]}part-*{rest[part.end() :]}", True
