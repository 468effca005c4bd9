"""Expectations give the deadline of each partition and the newest partition that is due."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.expectations import Expected, Within
from tasks.contracts.keys import Unit


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expected", "partition", "unit", "due"),
    [
        (Expected(days=2), "2021-04-01", "month", "2021-05-02T10:00"),
        (Expected(days=2), "2021-12-01", "month", "2022-01-02T10:00"),
        (Expected(days=2), "2024-02-01", "month", "2024-03-02T10:00"),
        (Expected(days=0, at=time(23, 30)), "2021-04-01", "month", "2021-04-30T23:30"),
        (Expected(days=1), "2021-12-31", "day", "2022-01-01T10:00"),
        (Expected(days=1, timezone="America/New_York"), "2021-01-04", "day", "2021-01-05T15:00"),
        (Expected(days=1, timezone="America/New_York"), "2021-07-04", "day", "2021-07-05T14:00"),
    ],
)
def test_a_partition_is_due_some_days_after_its_last_day(
    expected: Expected, partition: str, unit: Unit, due: str
) -> None:
    assert expected.due(date.fromisoformat(partition), unit) == _utc(due)


@pytest.mark.parametrize(
    ("moment", "unit", "newest"),
    [
        ("2021-05-02T09:59:59", "month", "2021-03-01"),
        ("2021-05-02T10:00:00", "month", "2021-04-01"),
        ("2021-06-01T23:59:59", "month", "2021-04-01"),
        ("2022-01-01T00:00:00", "month", "2021-11-01"),
        ("2021-05-02T09:59:59", "day", "2021-04-29"),
        ("2021-05-02T10:00:00", "day", "2021-04-30"),
    ],
)
def test_the_newest_due_partition_changes_at_its_deadline(moment: str, unit: Unit, newest: str) -> None:
    assert Expected(days=2).newest_due(_utc(moment), unit) == date.fromisoformat(newest)


@given(
    seconds=st.integers(0, 100 * 365 * 24 * 60 * 60),
    days=st.integers(0, 40),
    at=st.times(),
    timezone=st.sampled_from(["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
    unit=st.sampled_from(["day", "month"]),
)
def test_the_newest_due_partition_is_due_and_the_next_partition_is_not(
    seconds: int, days: int, at: time, timezone: str, unit: Unit
) -> None:
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    expected = Expected(days, at, timezone)
    newest = expected.newest_due(moment, unit)
    following = newest + timedelta(days=1) if unit == "day" else (newest + timedelta(days=31)).replace(day=1)
    assert expected.due(newest, unit) <= moment < expected.due(following, unit)


@pytest.mark.parametrize(
    ("days", "at", "timezone", "message"),
    [
        (-1, time(10), "UTC", "days of at least 0"),
        (1, time(10, tzinfo=UTC), "UTC", "without a time zone"),
        (1, time(10), "Mars/Olympus", "IANA time zone"),
        (1, time(10), "../secrets", "IANA time zone"),
    ],
)
def test_an_expectation_refuses_invalid_values(days: int, at: time, timezone: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expected(days, at, timezone)


def test_a_delay_is_a_number_of_minutes() -> None:
    assert Within(minutes=30).delay == timedelta(minutes=30)
