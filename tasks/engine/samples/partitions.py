"""Partitions: the date in the key of a file, and the template of the keys of all files like it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

_YEAR, _MONTH, _DAY = r"(?P<year>(?:19|20)[0-9]{2})", r"(?P<month>0[1-9]|1[0-2])", r"(?P<day>0[1-9]|[12][0-9]|3[01])"
_SHORT_MONTH, _SHORT_DAY = r"(?P<month>[1-9]|1[0-2])", r"(?P<day>[1-9]|[12][0-9]|3[01])"
_HOUR = r"([01][0-9]|2[0-3])((?:00){0,2})(?![0-9])"
_DATES = (
    rf"year={_YEAR}/month={_MONTH}/day={_DAY}",
    rf"year={_YEAR}/month={_SHORT_MONTH}/day={_SHORT_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}/{_MONTH}/{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}-{_MONTH}-{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}_{_MONTH}_{_DAY}(?![0-9])",
    rf"(?<![0-9]){_YEAR}{_MONTH}{_DAY}(?={_HOUR}|[^0-9]|$)",
    rf"year={_YEAR}/month={_MONTH}",
    rf"year={_YEAR}/month={_SHORT_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}/{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}-{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}_{_MONTH}(?![0-9])",
    rf"(?<![0-9]){_YEAR}{_MONTH}(?![0-9])",
    rf"(?<![^/])(?:year=)?{_YEAR}(?=/)",
)
"""Dates in keys. A date with a day precedes one without a day."""

_SUFFIX = re.compile(r"(?:\.(?:snappy|gz|zstd|c000))*\.[A-Za-z]+(?:\.gz|\.zst)?$")
_PART = re.compile(r"(?<![A-Za-z0-9])(part|chunk|batch|shard|split|segment)([-_]?)[0-9].*")
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HASH = r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])(?:[0-9a-f]{7,}|[0-9a-z]{16,})"
_OTHER_DATE = r"(?:19|20)[0-9]{2}[-_]?[01][0-9][-_]?[0-3][0-9](?:T?[0-9]{6}Z?)?"
_PADDED = re.compile(rf"(?<![A-Za-z0-9])(?:{_UUID}|{_OTHER_DATE}|0[0-9]+|{_HASH})(?![A-Za-z0-9])")
_NUMBER = re.compile(rf"(?<![A-Za-z0-9])T?(?:{_UUID}|[0-9]+Z?|{_HASH})(?![A-Za-z0-9])")

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
        sample: The rest of the sample's own key; empty if the sample's name does not fit the template.
    """

    prefix: str
    template: str
    unit: Unit | None = None
    example: date | None = None
    has_parts: bool = False
    sample: str = ""

    @property
    def notes(self) -> Iterator[str]:
        """What the name of one file leaves open, in plain English."""
        if self.unit and "*" in self.template:
            yield (
                "A * replaces a number or a hash in the name of the sample: all files of a"
                f" {self.unit} that match belong to its partition."
            )
        if "{hour:02d}" in self.template:
            yield "The hour has two digits. If the supplier writes 5 instead of 05, write {hour:d}."


def pattern_of(key: str) -> KeyPattern:
    """Return the pattern of a key: `2013/01.csv` becomes `{year:04d}/{month:02d}.csv`, monthly.

    An hour is recognised if the character before it also separates the parts of the date. Otherwise a number after the
    date may be the number of a part file, and becomes `*`.
    """
    found = [match for pattern in _DATES for match in re.finditer(pattern, key)]
    dated = [match for match in found if _date(match)]
    if not dated:
        begin = key.rfind("/") + 1
        return KeyPattern(key[:begin], key[begin:])
    outer = min(dated, key=lambda match: match.start())
    best = next(match for match in dated if _agree(match, outer))
    spans = [best]
    for match in found:
        is_apart = all(match.end() <= span.start() or match.start() >= span.end() for span in spans)
        if is_apart and _agree(match, best):
            spans.append(match)
    spans.sort(key=lambda match: match.start())
    begin = key.rfind("/", 0, spans[0].start()) + 1
    template = _template(key, begin, spans)
    unit: Unit = "day" if "day" in best.groupdict() else "month"
    has_parts = "*" in template or "{hour" in template
    return KeyPattern(key[:begin], template, unit, _date(best), has_parts, key[begin:])


def dated_pattern(pattern: KeyPattern, unit: Unit, example: date) -> KeyPattern:
    """Return a pattern for files whose names show no date: a folder for each year, and the date in the name."""
    stem, dot, suffix = pattern.template.partition(".")
    day = "-{day:02d}" if unit == "day" else ""
    template = f"{stem}-{{year:04d}}-{{month:02d}}{day}{dot}{suffix}"
    return KeyPattern(pattern.prefix, template, unit, example, pattern.has_parts)


def key_of(pattern: KeyPattern) -> str:
    """Return the key of the sample below the prefix, or the key that the template gives for its period."""
    day = pattern.example or date(2000, 1, 1)
    return pattern.sample or pattern.template.format(year=day.year, month=day.month, day=day.day)


def _date(found: re.Match[str]) -> date | None:
    parts = found.groupdict()
    try:
        return date(int(parts["year"]), int(parts["month"]), int(parts.get("day", "1")))
    except (KeyError, ValueError):
        return None


def _agree(one: re.Match[str], other: re.Match[str]) -> bool:
    """Whether two dates in a key are equal in every part that both of them state."""
    first, second = one.groupdict(), other.groupdict()
    return all(int(first[name]) == int(second[name]) for name in first.keys() & second.keys())


def _template(key: str, begin: int, spans: list[re.Match[str]]) -> str:
    text, end = "", begin
    for span in spans:
        text += _literal(key[end : span.start()])
        end = span.start()
        for name, value in span.groupdict().items():
            width = "d" if len(value) == 1 else f"0{len(value)}d"
            text += key[end : span.start(name)] + f"{{{name}:{width}}}"
            end = span.end(name)
        if hour := _hour_after(span):
            text += key[end : hour.start(1)] + "{hour:02d}" + hour.group(2)
            end = hour.end()
    folder, slash, name = key[end:].rpartition("/")
    return text + _literal(folder) + slash + _with_wildcards(name, _PADDED if slash else _NUMBER)


def _hour_after(found: re.Match[str]) -> re.Match[str] | None:
    """The hour that follows a date: after `/hour=`, `T`, or the character that separates the parts of the date."""
    if "day" not in found.groupdict():
        return None
    separator = found.string[found.end("month") : found.start("day")]
    gaps = ["/(?:hour|hh|h)=", "T", re.escape(separator) if separator else "-?"]
    return re.compile(f"(?:{'|'.join(gaps)}){_HOUR}").match(found.string, found.end())


def _with_wildcards(name: str, number: re.Pattern[str]) -> str:
    """The rest of a name in which the numbers of part files, and hashes, are `*`."""
    suffix = _SUFFIX.search(name)
    end = suffix.start() if suffix else len(name)
    stem = number.sub("*", _PART.sub(r"\1\2*", name[:end]))
    return _literal(re.sub(r"\*(?:[-_.:]?\*)+", "*", stem)) + _literal(name[end:])


def _literal(text: str) -> str:
    """A text of a key without the braces of fields, which a template cannot contain."""
    return re.sub(r"[{}*]+", "*", text)
