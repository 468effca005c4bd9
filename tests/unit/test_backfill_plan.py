"""The plan of a backfill: which partitions a listing and the ledger make due."""

import time
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sample_dataset import THINGS

from tasks.backfill import range_of
from tasks.contracts import Partition
from tasks.contracts.keys import KeyTemplate, Unit
from tasks.engine.backfill.planner import BackfillPlan, partitions_between, plan_backfill
from tasks.engine.backfill.staleness import CurrentPartition
from tasks.engine.errors import BackfillError, ContractError
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.receipts import ObjectRef

DAILY = replace(THINGS, partition=Partition(column="day", unit="day"), key="{year:04d}/{month:02d}/{day:02d}.csv")
WHOLE = replace(THINGS, partition=None, key=None, keys=("things.csv",))
JANUARY, APRIL = date(2021, 1, 1), date(2021, 4, 1)


def source(partition: str, version: str = "v1", name: str = "things.csv") -> ObjectRef:
    return ObjectRef(f"s3://lake/{partition}/{name}", version, 10, partition)


def loaded(
    *sources: ObjectRef, is_finished: bool = True, changes: tuple[str, ...] = (), is_lost: bool = False
) -> CurrentPartition:
    return CurrentPartition({one.uri: one.version for one in sources}, is_finished, changes, is_lost)


def plan(
    objects: list[ObjectRef],
    current: dict[str, CurrentPartition],
    first: date | None = JANUARY,
    last: date | None = JANUARY,
) -> BackfillPlan:
    return plan_backfill("things", "month", first, last, delivered(objects), current)


def delivered(objects: list[ObjectRef]) -> dict[str, Delivery]:
    names = sorted({one.partition for one in objects})
    return {name: Delivery(tuple(one for one in objects if one.partition == name)) for name in names}


OLD, NEW, OTHER = source("2021-01"), source("2021-01", "v2"), source("2021-01", "v9", "more.csv")


@pytest.mark.parametrize(
    ("objects", "current", "state", "orphans"),
    [
        ([], None, "missing", 0),
        ([], loaded(), "missing", 0),
        ([], loaded(is_finished=False), "emptied", 0),
        ([], loaded(changes=("sql",)), "emptied", 0),
        ([OLD], loaded(), "new", 0),
        ([OLD], None, "new", 0),
        ([OLD], loaded(OLD), "unchanged", 0),
        ([OLD], loaded(OLD, is_finished=False), "unfinished", 0),
        ([OLD], loaded(OLD, changes=("sql",)), "stale", 0),
        ([OLD], loaded(OLD, is_finished=False, changes=("sql",)), "unfinished", 0),
        ([NEW], loaded(OLD, changes=("sql",)), "changed", 0),
        ([OLD], loaded(OLD, is_lost=True), "lost", 0),
        ([OLD], loaded(OLD, is_finished=False, changes=("sql",), is_lost=True), "lost", 0),
        ([NEW], loaded(OLD, is_lost=True), "changed", 0),
        ([], loaded(OLD, is_lost=True), "orphaned", 1),
        ([], loaded(OLD, changes=("sql",)), "orphaned", 1),
        ([NEW], loaded(OLD), "changed", 0),
        ([NEW], loaded(OLD, is_finished=False), "changed", 0),
        ([OLD, OTHER], loaded(OLD), "changed", 0),
        ([OLD], loaded(OLD, OTHER), "changed", 0),
        ([NEW], loaded(OLD, OTHER), "changed", 0),
        ([], loaded(OLD, OTHER), "orphaned", 2),
    ],
)
def test_state_of_a_partition(
    objects: list[ObjectRef], current: CurrentPartition | None, state: str, orphans: int
) -> None:
    (planned,) = plan(objects, {"2021-01": current} if current else {}).partitions
    assert (planned.state, len(planned.orphans)) == (state, orphans)
    assert (planned.object_count, planned.size_bytes) == (len(objects), 10 * len(objects))


def test_due_partitions_are_in_order_and_spans_are_unbroken() -> None:
    current = {name: loaded(source(name)) for name in ("2021-02", "2021-05")}
    objects = [source(name) for name in ("2021-06", "2021-01", "2021-02", "2021-04", "2021-03")]
    found = plan(objects, current, JANUARY, date(2021, 8, 1))
    assert found.due == ["2021-01", "2021-03", "2021-04", "2021-06"]
    assert found.spans("new") == [("2021-01", "2021-01"), ("2021-03", "2021-04"), ("2021-06", "2021-06")]
    assert (found.of("orphaned"), found.of("missing")) == (["2021-05"], ["2021-07", "2021-08"])
    assert found.days == (JANUARY, date(2021, 8, 1))


def test_open_range_spans_all_delivered_and_loaded_partitions() -> None:
    found = plan([source("2021-03")], {"2021-01": loaded(OLD)}, None, None)
    assert [(one.partition, one.state) for one in found.partitions] == [
        ("2021-01", "orphaned"),
        ("2021-02", "missing"),
        ("2021-03", "new"),
    ]
    assert plan([], {}, None, None).partitions == ()


@pytest.mark.parametrize(
    ("unit", "first", "last", "names"),
    [
        ("month", date(2020, 11, 1), date(2021, 2, 1), ["2020-11", "2020-12", "2021-01", "2021-02"]),
        ("month", date(2020, 1, 31), date(2020, 2, 1), ["2020-01", "2020-02"]),
        ("day", date(2020, 2, 28), date(2020, 3, 1), ["2020-02-28", "2020-02-29", "2020-03-01"]),
        ("day", JANUARY, JANUARY, ["2021-01-01"]),
        ("day", date(9999, 12, 31), date(9999, 12, 31), ["9999-12-31"]),
        ("month", date(9999, 12, 1), date(9999, 12, 31), ["9999-12"]),
    ],
)
def test_both_ends_of_a_range_are_in_it(unit: Unit, first: date, last: date, names: list[str]) -> None:
    assert list(partitions_between(unit, first, last)) == names


def test_ten_years_of_days_are_planned_in_a_moment() -> None:
    days = [date(2011, 1, 1) + timedelta(number) for number in range(3653)]
    deliveries = {f"{day}": Delivery((source(f"{day}", f"v{day.day % 2}"),)) for day in days}
    current = {f"{day}": loaded(source(f"{day}")) for day in days}
    started = time.process_time()
    found = plan_backfill("days", "day", days[0], days[-1], deliveries, current)
    assert time.process_time() - started < 2  # CPU seconds; the plan takes 0.05
    assert (len(found.partitions), len(found.due)) == (3653, sum(day.day % 2 == 0 for day in days))


@pytest.mark.parametrize(
    ("template", "first", "last", "prefix"),
    [
        ("{year:04d}/{month:02d}/things.csv", JANUARY, APRIL, "in/2021/0"),
        ("{year:04d}/{month:02d}/things.csv", JANUARY, JANUARY, "in/2021/01/things.csv"),
        ("{year:04d}/{month:02d}/{day:02d}.csv", JANUARY, JANUARY, "in/2021/01/"),
        ("{year:04d}/{month:02d}/things.csv", date(2019, 1, 1), APRIL, "in/20"),
        ("{year:04d}/{month:02d}/things.csv", None, APRIL, "in/"),
        ("{month:02d}-{year:04d}.csv", JANUARY, date(2022, 1, 1), "in/"),
    ],
)
def test_listing_of_a_range_begins_with_what_its_keys_share(
    template: str, first: date | None, last: date | None, prefix: str
) -> None:
    assert KeyTemplate("in/", template).range_prefix(first, last, "month") == prefix


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2021-04", "2021-03", "expected an end that is not earlier than the start, found 2021-04 to 2021-03"),
        ("2021-04-01", "2021-05", "things is divided by month: expected a month, found 2021-04-01"),
    ],
)
def test_invalid_range_is_refused(start: str, end: str, message: str) -> None:
    with pytest.raises((BackfillError, ContractError), match=message):
        range_of(THINGS, start, end)


def test_day_outside_of_the_calendar_is_refused() -> None:
    with pytest.raises(BackfillError, match="2021-02-30 is not a calendar day"):
        range_of(DAILY, "2021-02-30", None)


def test_dataset_without_partitions_is_refused() -> None:
    with pytest.raises(BackfillError, match="has no partitions"):
        range_of(WHOLE, None, None)
