from datetime import UTC, date, datetime

import pytest
from prefect.runtime import flow_run
from pydantic import TypeAdapter, ValidationError

from tasks import parameters
from tasks.parameters import (
    Day,
    Month,
    Top,
    day_or_default,
    month_or_default,
    month_start,
    named_by_file_day,
    named_by_month,
    next_month,
)


@pytest.mark.parametrize("month", ["2021-01", "2021-12", "1000-01", "2999-12"])
def test_month_is_accepted(month: str) -> None:
    assert TypeAdapter(Month).validate_python(month) == month


@pytest.mark.parametrize(
    "month",
    [
        "2021-00",
        "2021-13",
        "2021-4",
        "21-04",
        "2021-04-01",
        "2021/04",
        " 2021-04",
        "",
        "2021-04\n",
        "0000-01",
        "२०२१-04",
    ],
)
def test_text_that_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(ValidationError, match="expected YYYY-MM, for example 2021-04"):
        TypeAdapter(Month).validate_python(month)


@pytest.mark.parametrize(("top", "is_accepted"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_top_is_between_one_and_a_thousand(top: int, is_accepted: bool) -> None:
    if is_accepted:
        assert TypeAdapter(Top).validate_python(top) == top
    else:
        with pytest.raises(ValidationError):
            TypeAdapter(Top).validate_python(top)


@pytest.mark.parametrize(
    ("scheduled", "month"),
    [
        (datetime(2021, 5, 1, 10, tzinfo=UTC), "2021-04"),
        (datetime(2021, 5, 2, 10, tzinfo=UTC), "2021-05"),
        (datetime(2021, 1, 1, 10, tzinfo=UTC), "2020-12"),
        (datetime(2020, 3, 1, 0, tzinfo=UTC), "2020-02"),
        (datetime.fromisoformat("2021-05-01T23:30:00-05:00"), "2021-05"),  # 2 May in UTC
    ],
)
def test_default_month_is_the_one_of_the_day_before_the_scheduled_start(
    scheduled: datetime, month: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `setattr` would leave the old value behind, because the module computes its attributes when they are read.
    monkeypatch.setitem(vars(flow_run), "scheduled_start_time", scheduled)
    assert month_or_default(None) == month
    assert month_or_default("2019-02") == "2019-02"


def test_default_month_without_a_run_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "scheduled_day", lambda: date(2021, 5, 1))
    assert month_or_default(None) == "2021-04"


@pytest.mark.parametrize(
    ("month", "following"), [("2021-01", "2021-02"), ("2021-12", "2022-01"), ("2020-02", "2020-03")]
)
def test_next_month_follows(month: str, following: str) -> None:
    assert next_month(month) == following


def test_month_starts_on_its_first_day() -> None:
    assert (month_start("2021-04", date.max), month_start(None, date.max)) == (date(2021, 4, 1), date.max)


def test_flow_run_is_named_after_its_month(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(flow_run), "parameters", {"month": "2021-04"})
    assert named_by_month("events-monthly")() == "events-monthly-2021-04"


@pytest.mark.parametrize("day", ["2021-04-01", date(2021, 4, 1)])
def test_day_is_accepted(day: object) -> None:
    assert TypeAdapter(Day).validate_python(day) == date(2021, 4, 1)


@pytest.mark.parametrize("day", ["2021-04", "2021-02-29", "01.04.2021", "yesterday", ""])
def test_text_that_is_no_day_is_refused(day: str) -> None:
    with pytest.raises(ValidationError, match="date"):
        TypeAdapter(Day).validate_python(day)


@pytest.mark.parametrize(
    ("scheduled", "day"),
    [
        (datetime(2021, 4, 2, 10, tzinfo=UTC), date(2021, 4, 1)),
        (datetime(2021, 3, 1, 0, tzinfo=UTC), date(2021, 2, 28)),
        (datetime(2021, 1, 1, 10, tzinfo=UTC), date(2020, 12, 31)),
        (datetime.fromisoformat("2021-04-01T23:30:00-05:00"), date(2021, 4, 1)),  # 2 April in UTC
    ],
)
def test_default_day_is_the_one_before_the_scheduled_start(
    scheduled: datetime, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(flow_run), "scheduled_start_time", scheduled)
    assert day_or_default(None) == day
    assert day_or_default(date(2019, 2, 1)) == date(2019, 2, 1)
    monkeypatch.setitem(vars(flow_run), "parameters", {})
    assert named_by_file_day("orders-daily")() == f"orders-daily-{day}"


def test_flow_run_is_named_after_the_day_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(flow_run), "parameters", {"day": date(2021, 4, 1)})
    assert named_by_file_day("orders-daily")() == "orders-daily-2021-04-01"
