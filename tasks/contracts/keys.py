"""Object keys of partitioned datasets: from a partition to its keys, and from a key to its partition."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import takewhile
from typing import Literal

Unit = Literal["month", "day"]
"""What one partition holds."""

_FIELDS = {"year": r"(?P<year>[0-9]{4})", "month": r"(?P<month>[0-9]{2})", "day": r"(?P<day>[0-9]{2})"}
_PLACEHOLDER = re.compile(r"\{(year|month|day)(?::0\d+d)?\}")


def partition_name(value: date, unit: Unit) -> str:
    """How a partition is written everywhere: `2021-04` for a month, `2021-04-01` for a day."""
    return value.isoformat()[:7] if unit == "month" else value.isoformat()


def partition_value(name: str) -> date:
    """First day of the partition that is written `YYYY-MM` or `YYYY-MM-DD`.

    Raises:
        ValueError: The name is neither.
    """
    return date.fromisoformat(name if len(name) > 7 else f"{name}-01")


def _spelt(value: date) -> dict[str, str]:
    return dict(zip(_FIELDS, value.isoformat().split("-"), strict=True))


@dataclass(frozen=True)
class KeyTemplate:
    """A template such as `{year:04d}/{month:02d}/events.csv` below a prefix.

    A template with a day under a dataset partitioned by month names a month's files of days.

    Attributes:
        prefix: Configured prefix of the bucket, used as it is.
        template: The rest of the key, with the fields `{year}`, `{month}` and `{day}`: 4, 2 and 2 digits.
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
        """Day (the first of the month where the template has no day) that a key stands for; None for a foreign key."""
        match = self._pattern.fullmatch(key)
        if match is None:
            return None
        parts = match.groupdict()
        try:
            return date(int(parts["year"]), int(parts.get("month") or 1), int(parts.get("day") or 1))
        except ValueError:
            return None

    def key_of(self, value: date) -> str:
        """Key of the object of a day (or of a month, where the template has no day)."""
        spelt = _spelt(value)
        return self.prefix + _PLACEHOLDER.sub(lambda field: spelt[field.group(1)], self.template)

    def range_prefix(self, first: date | None, last: date | None, unit: Unit) -> str:
        """Longest fixed beginning of the keys of all partitions from one to another; None where there is no bound."""
        fields = [field.group(1) for field in _PLACEHOLDER.finditer(self.template)]
        # Only keys that are ordered as their days are begin alike when the first and the last do.
        if first is None or last is None or fields != [name for name in _FIELDS if name in fields]:
            return self.listing_prefix(None)
        pairs = zip(self.listing_prefix(first, unit), self.listing_prefix(last, unit), strict=False)
        return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def listing_prefix(self, value: date | None, unit: Unit = "month") -> str:
        """Longest fixed beginning of the keys of one partition, or of all keys where `value` is None."""
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
