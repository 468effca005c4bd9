"""Parameters that flows share: how they are written, checked and defaulted."""

import difflib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from prefect.runtime import flow_run
from pydantic import Field

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.errors import ContractError, ParameterError
from tasks.engine.quoting import quoted, shown
from tasks.engine.settings import EXPORT_ID_PATTERN

MONTH_PATTERN = r"^[12][0-9]{3}-(0[1-9]|1[0-2])$"

Month = Annotated[
    str,
    Field(pattern=MONTH_PATTERN, description="A month, YYYY-MM", examples=["2021-04"]),
]
Dataset = Annotated[str, Field(min_length=1, description="A dataset of the ledger", examples=["events"])]
PartitionName = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$",
        description="A month, YYYY-MM, or a day, YYYY-MM-DD, as the dataset is partitioned",
        examples=["2021-04"],
    ),
]
AsOf = Annotated[date, Field(description="The day that the answers are as of, YYYY-MM-DD", examples=["2022-09-05"])]
Day = Annotated[date, Field(description="A day, YYYY-MM-DD", examples=["2021-04-01"])]
ExportId = Annotated[
    str,
    Field(
        pattern=EXPORT_ID_PATTERN,
        description="Where the exports go, below EXPORT_PREFIX",
        examples=["default"],
    ),
]
Force = Annotated[bool, Field(description="Load and build again even if nothing changed")]
AllowEmpty = Annotated[bool, Field(description="Let an export without rows replace one that has rows")]
Since = Annotated[
    str,
    Field(pattern=MONTH_PATTERN, description="The first month, YYYY-MM, which is included", examples=["2021-01"]),
]
Until = Annotated[
    str,
    Field(pattern=MONTH_PATTERN, description="The last month, YYYY-MM, which is included", examples=["2021-12"]),
]
Full = Annotated[bool, Field(description="Everything, whether it changed or not")]
Top = Annotated[int, Field(ge=1, le=1000, description="How many values each question lists")]

RUN_NAME_LIMIT = 250

FIRST, LAST = date(1, 1, 1), date(9999, 12, 31)


def scheduled_moment() -> datetime:
    """When (UTC) the run was scheduled for; now for a run without a schedule."""
    moment: datetime = flow_run.scheduled_start_time or datetime.now(UTC)
    return moment.astimezone(UTC)


def scheduled_day() -> date:
    """Day (UTC) that the run was scheduled for; today for a run without a schedule."""
    return scheduled_moment().date()


def month_or_default(month: str | None) -> str:
    """The month that was asked for, else the month of the scheduled start - 1 day: the one that just ended on a 1st."""
    return month or (scheduled_day() - timedelta(days=1)).strftime("%Y-%m")


def day_or_default(day: date | None) -> date:
    """The day that was asked for, else the day before that of the scheduled start: the last one that is complete."""
    return day or scheduled_day() - timedelta(days=1)


def month_start(month: str | None, default: date) -> date:
    """First day of a month; `default` for no month."""
    return date.fromisoformat(f"{month}-01") if month else default


def month_range(since: str | None, until: str | None) -> tuple[date, date]:
    """The first day of a range of months, and the day after its last one: half-open, as queries take it.

    Args:
        since: First month, which is included; None for no bound.
        until: Last month, which is included; None for no bound.

    Raises:
        ParameterError: The last month is before the first.
    """
    if since and until and until < since:
        raise ParameterError(
            f"expected an `until` that is no earlier than `since`, found since {since} until {until}. Both months are"
            " included: the same month twice is one month"
        )
    return month_start(since, FIRST), month_start(next_month(until) if until else None, LAST)


def named_by_file_day(name: str) -> Callable[[], str]:
    """Names a flow run after its flow and the day of its file, such as `orders-daily-2021-04-01`."""
    return lambda: f"{name}-{day_or_default(flow_run.parameters.get('day'))}"


def named_by_day(name: str) -> Callable[[], str]:
    """Names a flow run after its flow and its as-of date, such as `commerce-analytics-2022-09-05`."""
    return lambda: f"{name}-{flow_run.parameters.get('as_of') or scheduled_day()}"


def named_by_start(name: str) -> Callable[[], str]:
    """Names a flow run after its flow and the minute of its schedule, such as `totesys-sync-2022-11-03T14:15`."""
    return lambda: f"{name}-{scheduled_moment():%Y-%m-%dT%H:%M}"


def next_month(month: str) -> str:
    """The month after, YYYY-MM."""
    return (month_start(month, FIRST) + timedelta(days=31)).strftime("%Y-%m")


def contract_of(dataset: str) -> Contract:
    """The contract of a dataset.

    Raises:
        ContractError: There is none.
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
    """The partition that was asked for, as the contract's are written; empty for a contract without.

    Raises:
        ContractError: It is none of the contract's, or is missing.
    """
    unit = contract.partition.unit if contract.partition else None
    if len(partition or "") != {"month": 7, "day": 10}.get(unit or "", 0):
        raise ContractError(
            f"dataset {contract.dataset} is {f'divided by {unit}' if unit else 'not divided'}:"
            f" expected {f'a {unit}' if unit else 'no partition'}, found {shown(partition or 'none')}"
        )
    return partition or ""


def named_by_dataset(name: str) -> Callable[[], str]:
    """Names a flow run after its flow, its dataset and its partition, such as `plan-events-2021-04`."""

    def run_name() -> str:
        given = flow_run.parameters
        return shown("-".join(filter(None, (name, given.get("dataset"), given.get("partition")))), RUN_NAME_LIMIT)

    return run_name


def named_by_range(name: str) -> Callable[[], str]:
    """Names a flow run after its flow, pipeline and range, such as `backfill-events-monthly-2021-01-2021-12`."""

    def run_name() -> str:
        given = flow_run.parameters
        parts = (name, *(given.get(key) for key in ("pipeline", "start", "end")))
        return shown("-".join(filter(None, parts)), RUN_NAME_LIMIT)

    return run_name


def named_by_month(name: str) -> Callable[[], str]:
    """Names a flow run after its flow and its month, such as `events-monthly-2021-04`."""
    return lambda: f"{name}-{month_or_default(flow_run.parameters.get('month'))}"
