"""Object keys: conversion from a partition to its keys, and from a key to its partition."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import takewhile
from string import Formatter
from typing import Literal

Unit = Literal["month", "day"]
"""The period of one partition."""

_PADDED = {
    "year": "[0-9]{4}",
    "month": "0[1-9]|1[0-2]",
    "day": "0[1-9]|[12][0-9]|3[01]",
    "hour": "[01][0-9]|2[0-3]",
}
_UNPADDED = {"month": "1[0-2]|[1-9]", "day": "[12][0-9]|3[01]|[1-9]", "hour": "1[0-9]|2[0-3]|[0-9]"}
_FORMATS = {"year": ("", "04d"), **dict.fromkeys(_UNPADDED, ("", "02d", "d"))}
_TOKEN = re.compile(r"\{(year|month|day|hour)(?::(0[24])?(d))?\}|\*")

_IN_SEGMENT = "[^/]*"
_AT_SEGMENT_START = "(?=[^/_.])[^/]*"
"""Like Spark, a wildcard at the beginning of a name skips hidden names: `_SUCCESS`, `_committed_1`, `.part-0.crc`."""

_FOLDER_MARKER = "_$folder$"
"""End of the keys of the empty objects that Hadoop writes for folders."""


def partition_name(value: date, unit: Unit) -> str:
    """Return the name of a partition: `2021-04` for a month, `2021-04-01` for a day."""
    return value.isoformat()[:7] if unit == "month" else value.isoformat()


def partition_value(name: str) -> date:
    """Return the first day of the partition with the name `YYYY-MM` or `YYYY-MM-DD`.

    Raises:
        ValueError: The name has neither form.
    """
    return date.fromisoformat(name if len(name) > 7 else f"{name}-01")


def has_unit(name: str, unit: Unit) -> bool:
    """Return whether the name of a partition has the form of a unit."""
    return partition_name(partition_value(name), unit) == name


def folder_of(key: str) -> str:
    """Return the folder of a key with its final slash. The folder of a key without a slash is empty."""
    return key[: key.rfind("/") + 1]


def fields_of(template: str) -> frozenset[str]:
    """Return the names of the date fields in a template.

    Raises:
        ValueError: The template has another field, an unknown format, `**`, an hour without a day, or no
            file name at its end.
    """
    if "**" in template:
        raise ValueError("expected * for any part of one name, and one * for each folder, such as */*.csv; found **")
    if not template or template.endswith("/"):
        raise ValueError("expected the name of a file at its end, such as *.csv")
    try:
        found = [(name, spec or "") for _, name, spec, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"expected fields such as {{month:02d}}, found {error}") from error
    for name, spec in found:
        if name not in _FORMATS or spec not in _FORMATS[name]:
            raise ValueError(
                "expected the fields {year:04d}, {month:02d}, {day:02d} and {hour:02d}, or {month:d} without a leading"
                f" zero; found {{{name}{':' if spec else ''}{spec}}}"
            )
    fields = frozenset(name for name, _ in found)
    if "hour" in fields and "day" not in fields:
        raise ValueError("expected {day:02d} beside {hour:02d}, because an hour belongs to a day")
    return fields


@dataclass(frozen=True)
class KeyTemplate:
    """A template such as `year={year:04d}/month={month:02d}/part-*.parquet` below a prefix.

    A dataset with monthly partitions may have a template with a day, and any dataset one with an hour. A partition then
    has one file for each day or hour. `*` matches any part of one name in a key, but not a slash. At the beginning of
    a name it matches no name that begins with `_` or `.`, so `_SUCCESS` and `.part-0.crc` are no data.

    Attributes:
        prefix: The configured prefix, used unchanged.
        template: The rest of the key, with the fields `{year}`, `{month}`, `{day}` and `{hour}` of 4, 2, 2 and 2
            digits. `{month:d}` has no leading zero.
    """

    prefix: str
    template: str

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts, end = [re.escape(self.prefix)], 0
        for number, token in enumerate(_TOKEN.finditer(self.template)):
            parts.append(re.escape(self.template[end : token.start()]))
            name, end = token.group(1), token.end()
            if name:
                parts.append(f"(?P<{name}_{number}>{(_UNPADDED if _is_unpadded(token) else _PADDED)[name]})")
            else:
                before = self.template[: token.start()] or self.prefix
                parts.append(_IN_SEGMENT if before and not before.endswith("/") else _AT_SEGMENT_START)
        return re.compile("".join(parts) + re.escape(self.template[end:]))

    def _fields_in(self, key: str) -> dict[str, int] | None:
        """Return the values of the fields in a key, or None if the key does not match."""
        match = None if key.endswith(_FOLDER_MARKER) else self._pattern.fullmatch(key)
        if match is None:
            return None
        found: dict[str, int] = {}
        for group, text in match.groupdict().items():
            if found.setdefault(group.partition("_")[0], int(text)) != int(text):
                return None  # the same field has two values
        return found

    def matches(self, key: str) -> bool:
        """Return whether a key has the form of the template."""
        return self._fields_in(key) is not None

    def date_of(self, key: str) -> date | None:
        """Return the date in a key, or None if the key does not match. Without a day, it is the first of the month."""
        found = self._fields_in(key)
        try:
            return date(found["year"], found.get("month", 1), found.get("day", 1)) if found else None
        except ValueError:
            return None

    def key_of(self, value: date) -> str:
        """Return the key of the object of a day, or of a month. A wildcard and the hour remain as in the template."""
        return self.prefix + _TOKEN.sub(lambda token: _spelt(token, value) or token.group(), self.template)

    def range_prefix(self, first: date | None, last: date | None, unit: Unit) -> str:
        """Return the longest common prefix of the keys of a range of partitions. None is an open end of the range."""
        if first and last and partition_name(first, unit) == partition_name(last, unit):
            return self.listing_prefix(first, unit)
        fields = [token.group(1) for token in _TOKEN.finditer(self.template) if token.group(1)]
        is_padded = not any(map(_is_unpadded, _TOKEN.finditer(self.template)))
        # The first and the last key bound the range only if keys sort by date.
        if first is None or last is None or not is_padded or fields != [name for name in _PADDED if name in fields]:
            return self.listing_prefix(None)
        pairs = zip(self.listing_prefix(first, unit), self.listing_prefix(last, unit), strict=False)
        return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def listing_prefix(self, value: date | None, unit: Unit = "month") -> str:
        """Return the longest common prefix of the keys of one partition, or of all keys if `value` is None."""
        out, end = self.prefix, 0
        for token in _TOKEN.finditer(self.template):
            out += self.template[end : token.start()]
            text = _spelt(token, value) if value and not (unit == "month" and token.group(1) == "day") else None
            if text is None:
                return out
            out += text
            end = token.end()
        return out + self.template[end:]


def _is_unpadded(token: re.Match[str]) -> bool:
    return token.group(3) is not None and token.group(2) is None


def _spelt(token: re.Match[str], value: date) -> str | None:
    """Return the text of a field for a day, or None for the hour and for a wildcard."""
    name = token.group(1)
    if name not in ("year", "month", "day"):
        return None
    text = dict(zip(("year", "month", "day"), value.isoformat().split("-"), strict=True))[name]
    return text.lstrip("0") if _is_unpadded(token) else text
