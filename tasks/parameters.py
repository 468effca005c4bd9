"""Parameters that flows share: how they are written, checked and defaulted."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from prefect.runtime import flow_run
from pydantic import Field

Month = Annotated[
    str,
    Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="A month, YYYY-MM", examples=["2021-04"]),
]
Top = Annotated[int, Field(ge=1, le=1000, description="How many values each question lists")]

FIRST, LAST = date(1, 1, 1), date(9999, 12, 31)


def scheduled_day() -> date:
    """Day (UTC) that the run was scheduled for; today for a run without a schedule."""
    moment: datetime = flow_run.scheduled_start_time or datetime.now(UTC)
    return moment.astimezone(UTC).date()


def month_or_default(month: str | None) -> str:
    """The month that was asked for, else the month of the scheduled start - 1 day: the one that just ended on a 1st."""
    return month or (scheduled_day() - timedelta(days=1)).strftime("%Y-%m")


def month_start(month: str | None, default: date) -> date:
    """First day of a month; `default` for no month."""
    return date.fromisoformat(f"{month}-01") if month else default


def next_month(month: str) -> str:
    """The month after, YYYY-MM."""
    return (month_start(month, FIRST) + timedelta(days=31)).strftime("%Y-%m")


def named_by_month(name: str) -> Callable[[], str]:
    """Names a flow run after its flow and its month, such as `events-monthly-2021-04`."""
    return lambda: f"{name}-{month_or_default(flow_run.parameters.get('month'))}"
