"""Object keys of partitioned datasets: conversion from a partition to its keys, and from a key to its partition."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import takewhile
from typing import Literal

Unit = Literal["month", "day"]
"""The period of one partition."""

_FIELDS = {"year": r"(?P<year>[0-9]{4})", "month": r"(?P<month>[0-9]{2})", "day": r"(?P<day>[0-9]{2})"}
_PLACEHOLDER = re.compile(r"\{(year|month|day)(?::0\d+d)?\}")


def partition_name(value: date, unit: Unit) -> str:
    """Return the name of a partition: `2021-04` for a month, `2021-04-01` for a day."""
    return value.isoformat()[:7] if unit == "month" else value.isoformat()


def partition_value(name: str) -> date:
    """Return the first day of the partition with the name `YYYY-MM` or `YYYY-MM-DD`.

    Raises:
        ValueError: The name has neither form.
    """
    return date.fromisoformat(name if len(name) > 7 else f"{name}-01")


def _spelt(value: date) -> dict[str, str]:
    return dict(zip(_FIELDS, value.isoformat().split("-"), strict=True))


@dataclass(frozen=True)
class KeyTemplate:
    """A template such as `{year:04d}/{month:02d}/events.csv` below a prefix.

    A dataset with monthly partitions may have a template with a day. A month then has one file for each day.

    Attributes:
        prefix: The configured prefix, used unchanged.
        template: The rest of the key, with the fields `{year}`, `{month}` and `{day}` of 4, 2 and 2 digits.
    """

    prefix: str
    template: str

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts, end, seen = [re.escape(self.prefix)], 0, set[str]()
        for field in _PLACEHOLDER.finditer(self.template):
            parts.append(re.escape(self.template[end : field.start()]))
            name = field.group(1)
            parts.append(f"(?P={name})" if name in seen else _FIELDS[name])
            seen.add(name)
            end = field.end()
        return re.compile("".join(parts) + re.escape(self.template[end:]))

    def date_of(self, key: str) -> date | None:
        """Return the date in a key, or None if the key does not match. Without a day, it is the first of the month."""
        match = self._pattern.fullmatch(key)
        if match is None:
            return None
        parts = match.groupdict()
        try:
            return date(int(parts["year"]), int(parts.get("month") or 1), int(parts.get("day") or 1))
        except ValueError:
            return None

    def key_of(self, value: date) -> str:
        """Return the key of the object of a day, or of a month if the template has no day."""
        spelt = _spelt(value)
        return self.prefix + _PLACEHOLDER.sub(lambda field: spelt[field.group(1)], self.template)

    def range_prefix(self, first: date | None, last: date | None, unit: Unit) -> str:
        """Return the longest common prefix of the keys of a range of partitions. None is an open end of the range."""
        fields = [field.group(1) for field in _PLACEHOLDER.finditer(self.template)]
        # The first and the last key bound the range only if keys sort by date.
        if first is None or last is None or fields != [name for name in _FIELDS if name in fields]:
            return self.listing_prefix(None)
        pairs = zip(self.listing_prefix(first, unit), self.listing_prefix(last, unit), strict=False)
        return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def listing_prefix(self, value: date | None, unit: Unit = "month") -> str:
        """Return the longest common prefix of the keys of one partition, or of all keys if `value` is None."""
        fields = _spelt(value) if value else {}
        if unit == "month":
            fields.pop("day", None)
        out, end = self.prefix, 0
        for field in _PLACEHOLDER.finditer(self.template):
            out += self.template[end : field.start()]
            if field.group(1) not in fields:
                return out
            out += fields[field.group(1)]
            end = field.end()
        return out + self.template[end:]
