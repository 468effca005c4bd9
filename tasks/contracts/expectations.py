"""Expectations: by when the data of a dataset or of an operational database must be in the warehouse."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.contracts.keys import Unit


@dataclass(frozen=True)
class Expected:
    """The deadline of each partition: a number of days after the partition's last day, at a time of day.

    `Expected(days=2)` of a month means: the 2nd of the following month at 10:00 UTC. `Expected(days=1)` of a day means:
    the following day at 10:00 UTC. A dataset without partitions has one deadline each day, and a file must arrive
    between two deadlines.

    Attributes:
        days: Days between the last day of the partition and the day of the deadline.
        at: Time of the deadline, without a time zone.
        timezone: IANA name of the time zone of `at`.
    """

    days: int
    at: time = time(10)
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is invalid.
        """
        if self.days < 0:
            raise ValueError(f"expected days of at least 0, found {self.days}")
        if self.at.tzinfo:
            raise ValueError(f"expected a time without a time zone, found {self.at}: set timezone")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"expected an IANA time zone such as Europe/London, found {self.timezone!r}") from None

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def due(self, partition: date, unit: Unit) -> datetime:
        """Return the deadline of a partition, in UTC.

        Args:
            partition: The first day of the partition.
            unit: The period of the partition.
        """
        day = _next(partition, unit) - timedelta(days=1) + timedelta(days=self.days)
        return datetime.combine(day, self.at, self._zone).astimezone(UTC)

    def newest_due(self, moment: datetime, unit: Unit) -> date:
        """Return the first day of the newest partition whose deadline has passed at a moment.

        A partition is due at the moment of its deadline.
        """
        partition = moment.astimezone(self._zone).date()
        while self.due(partition := _first(partition, unit), unit) > moment:
            partition -= timedelta(days=1)
        return partition


@dataclass(frozen=True)
class Within:
    """The largest delay between a change in an operational database and its arrival in the warehouse.

    Attributes:
        minutes: The delay in minutes.
    """

    minutes: int

    @property
    def delay(self) -> timedelta:
        """The delay."""
        return timedelta(minutes=self.minutes)


def _first(day: date, unit: Unit) -> date:
    return day.replace(day=1) if unit == "month" else day


def _next(partition: date, unit: Unit) -> date:
    return _first(partition + timedelta(days=31), unit) if unit == "month" else partition + timedelta(days=1)
