"""Parameters that several flows share: their types, form fields, checks and defaults."""

import difflib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from prefect.runtime import flow_run
from pydantic import Field, JsonValue

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.errors import ContractError, ParameterError
from tasks.engine.quoting import quoted, shown
from tasks.engine.settings import EXPORT_ID_PATTERN
from tasks.form_fields import OpenField

DATASETS: list[JsonValue] = [*sorted(contracts())]
"""The choices in the form."""

_MONTH = r"[12][0-9]{3}-(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_DATE = rf"[0-9]{{4}}-(0[1-9]|1[0-2])-{_DAY}"

Month = Annotated[str | None, OpenField(_MONTH, "YYYY-MM", "2021-04", "Month to load")]
Dataset = Annotated[
    str,
    # An empty list of choices would be an invalid schema.
    Field(min_length=1, description="Name of the dataset", json_schema_extra={"enum": DATASETS} if DATASETS else None),
]
PartitionName = Annotated[
    str | None,
    OpenField(
        rf"[0-9]{{4}}-(0[1-9]|1[0-2])(-{_DAY})?",
        "a month YYYY-MM or a day YYYY-MM-DD",
        "2021-04",
        "Month or day of the partition: the period of one file",
    ),
]
AsOf = Annotated[
    date | None, OpenField(_DATE, "a date YYYY-MM-DD", "2022-09-05", "As-of date of the report", is_date=True)
]
Day = Annotated[date | None, OpenField(_DATE, "a date YYYY-MM-DD", "2021-04-01", "Day of the file", is_date=True)]
ExportId = Annotated[
    str | None,
    OpenField(
        EXPORT_ID_PATTERN.strip("^$"),
        "letters, digits and ._=@+-",
        "default",
        "Name of the folder below EXPORT_PREFIX for the exports",
    ),
]
Force = Annotated[
    bool,
    Field(
        description="Load and build again even if nothing changed, and allow fewer rows, or none, to replace more rows"
    ),
]
AllowEmpty = Annotated[bool, Field(description="Allow an export without rows to replace an export with rows")]
Since = Annotated[str | None, OpenField(_MONTH, "YYYY-MM", "2021-01", "First month, included")]
Until = Annotated[str | None, OpenField(_MONTH, "YYYY-MM", "2021-12", "Last month, included")]
Full = Annotated[bool, Field(description="Extract all rows, including rows that did not change")]
GiveUp = Annotated[int, Field(ge=0, description="Number of a run that died and cannot be completed; 0 for none")]
Top = Annotated[
    int, Field(ge=1, le=1000, description="Number of countries, users, companies and dates to list, such as 10")
]

RUN_NAME_LIMIT = 250

FIRST, LAST = date(1, 1, 1), date(9999, 12, 31)


def scheduled_moment() -> datetime:
    """Scheduled start of the run in UTC; the current time for a run without a schedule."""
    moment: datetime = flow_run.scheduled_start_time or datetime.now(UTC)
    return moment.astimezone(UTC)


def scheduled_day() -> date:
    """Day of the scheduled start in UTC; today for a run without a schedule."""
    return scheduled_moment().date()


def month_or_default(month: str | None) -> str:
    """The given month. Default: the month of the day before the scheduled start, which on a 1st has just ended."""
    return month or (scheduled_day() - timedelta(days=1)).strftime("%Y-%m")


def day_or_default(day: date | None) -> date:
    """The given day. Default: the day before the scheduled start, which is the last complete day."""
    return day or scheduled_day() - timedelta(days=1)


def month_start(month: str | None, default: date) -> date:
    """First day of a month; `default` if no month is given."""
    return date.fromisoformat(f"{month}-01") if month else default


def month_range(since: str | None, until: str | None) -> tuple[date, date]:
    """First day of a range of months, and the day after its last day: the half-open range that queries take.

    Args:
        since: First month, included; None for no bound.
        until: Last month, included; None for no bound.

    Raises:
        ParameterError: The last month is earlier than the first month.
    """
    if since and until and until < since:
        raise ParameterError(
            f"expected an `until` that is not earlier than `since`, found since {since} until {until}. Both months are"
            " included: for one month, enter the same month twice"
        )
    return month_start(since, FIRST), month_start(next_month(until) if until else None, LAST)


def named_by_file_day(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and the day of its file, such as `orders-daily-2021-04-01`."""
    return lambda: f"{name}-{day_or_default(flow_run.parameters.get('day'))}"


def named_by_day(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and its as-of date, such as `commerce-analytics-2022-09-05`."""
    return lambda: f"{name}-{flow_run.parameters.get('as_of') or scheduled_day()}"


def named_by_start(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and the minute of its schedule, such as `totesys-sync-2022-11-03T14:15`."""
    return lambda: f"{name}-{scheduled_moment():%Y-%m-%dT%H:%M}"


def next_month(month: str) -> str:
    """The following month, YYYY-MM."""
    return (month_start(month, FIRST) + timedelta(days=31)).strftime("%Y-%m")


def contract_of(dataset: str) -> Contract:
    """The contract of a dataset.

    Raises:
        ContractError: No dataset has this name.
    """
    known = contracts()
    if dataset not in known:
        nearest = difflib.get_close_matches(dataset, known, n=1)
        raise ContractError(
            f"unknown dataset {quoted(dataset)}{f', did you mean {nearest[0]}' if nearest else ''}? Expected one of"
            f" {', '.join(sorted(known))}"
        )
    return known[dataset]


def partition_of(contract: Contract, partition: str | None) -> str:
    """Check the name of a partition against the contract; empty for a contract without partitions.

    Raises:
        ContractError: The name does not fit the contract's partitions, or is missing.
    """
    unit = contract.partition.unit if contract.partition else None
    if len(partition or "") != {"month": 7, "day": 10}.get(unit or "", 0):
        raise ContractError(
            f"dataset {contract.dataset} is {f'divided by {unit}' if unit else 'not divided'}:"
            f" expected {f'a {unit}' if unit else 'no partition'}, found {shown(partition or 'none')}"
        )
    return partition or ""


def named_by_dataset(name: str) -> Callable[[], str]:
    """Name a flow run after its flow, its dataset and its partition, such as `plan-events-2021-04`."""

    def run_name() -> str:
        given = flow_run.parameters
        return shown("-".join(filter(None, (name, given.get("dataset"), given.get("partition")))), RUN_NAME_LIMIT)

    return run_name


def named_by_range(name: str) -> Callable[[], str]:
    """Name a flow run after its flow, pipeline and range, such as `backfill-events-monthly-2021-01-2021-12`."""

    def run_name() -> str:
        given = flow_run.parameters
        parts = (name, *(given.get(key) for key in ("pipeline", "start", "end")))
        return shown("-".join(filter(None, parts)), RUN_NAME_LIMIT)

    return run_name


def named_by_months(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and its range of months, such as `events-insights-2021-01-to-2021-12`."""

    def run_name() -> str:
        since, until = (flow_run.parameters.get(key) for key in ("since", "until"))
        return f"{name}-{since or 'first'}-to-{until or 'last'}" if since or until else f"{name}-all"

    return run_name


def named_by_source(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and its file, such as `events-profile-s3://lake/2021/04/events.csv`."""
    return lambda: shown(f"{name}-{flow_run.parameters.get('source', '')}", RUN_NAME_LIMIT)


def named_by_month(name: str) -> Callable[[], str]:
    """Name a flow run after its flow and its month, such as `events-monthly-2021-04`."""
    return lambda: f"{name}-{month_or_default(flow_run.parameters.get('month'))}"
