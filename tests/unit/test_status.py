"""The status page: problems in their order, and three outputs that hide values and escape names."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.status.facts import DatasetFacts, DueFacts, Facts, PartitionFacts, RejectionFacts, Schedule
from tasks.engine.status.page import MARKS, STYLE, status_page
from tasks.engine.status.problems import KINDS, Problem, ago, problems_of, reason_of
from tasks.engine.status.summary import Summary
from tasks.engine.status.text import status_markdown, status_text

NOW = datetime(2026, 11, 26, 18, 40, tzinfo=UTC)
THINGS = DatasetFacts("things", "things", True, "month", "2026-10", 3, 0, 0, 30, 0, 0, NOW, 1e6, 1e4)
LOADED = PartitionFacts("things", "2026-10", "loaded", 10, 0, 0, 0, None, None, None, None, None)
FAILED = replace(
    LOADED,
    state="failed",
    failed_at=NOW,
    failed_attempt_id=7,
    failed_uri="s3://b/things.csv",
    error_class="ErrorBudgetError",
    error_message="s3://b/things.csv: 3 of 9 rows were rejected, e.g. 'bob@example.com'; nothing was loaded:\n  secret",
)
DUE = DueFacts("things", "2026-10", NOW - timedelta(days=24), NOW - timedelta(days=24), NOW, True, False)
REJECTION = RejectionFacts(
    "things", "2026-10", "day", "invalid_value", "day: expected a date", 8, NOW, "s3://b/x", [3, 5]
)
HOSTILE = "<script>alert(1)</script>'\"&<img src=http://host.invalid/x>"
VOID = {"meta", "rect", "br", "img"}


def kinds(facts: Facts) -> list[str]:
    return [each.kind for each in problems_of(facts)]


def one_problem(facts: Facts) -> Problem:
    (problem,) = problems_of(facts)
    return problem


def facts_of(*partitions: PartitionFacts, dataset: DatasetFacts = THINGS, **others: Any) -> Facts:
    return Facts(NOW, [dataset], partitions or [LOADED], **others)


def outputs(facts: Facts) -> Iterator[str]:
    summary = Summary(facts)
    yield status_page(summary)
    yield status_text(summary)
    yield status_markdown(summary, markdown_table)


class Elements(HTMLParser):
    """The elements of a page, and those that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.errors: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.errors.append(tag)


# Problems


def test_loaded_data_has_no_problem() -> None:
    facts = facts_of(due=[DUE])
    assert (kinds(facts), Summary(facts).headline) == ([], "Everything is in order")


def test_no_data_is_no_problem() -> None:
    empty = replace(THINGS, newest_partition=None, partitions_loaded=0, row_count=0)
    facts = Facts(NOW, [empty], due=[replace(DUE, loaded_at=None, finished_at=None, is_late=True)])
    summary = Summary(facts)
    assert (kinds(facts), summary.headline, summary.state_of(empty)) == (
        [],
        "Nothing is loaded yet",
        ("empty", "No data yet"),
    )


def test_problems_come_in_the_order_of_their_urgency() -> None:
    dataset = replace(THINGS, rows_unresolved=2)
    facts = facts_of(
        replace(LOADED, partition="2026-06", state="rejected", rows_unresolved=2),
        replace(LOADED, partition="2026-07", state="missing"),
        replace(LOADED, partition="2026-08", state="lost"),
        replace(FAILED, partition="2026-09"),
        dataset=dataset,
        due=[replace(DUE, loaded_at=None, is_late=True)],
    )
    assert kinds(facts) == ["failed", "late", "lost", "missing", "rejected"]
    assert Summary(facts).state_of(dataset) == ("failed", "Failed")
    assert Summary(facts).headline == "5 problems need attention"


def test_loaded_partition_without_a_complete_run_is_incomplete_after_a_while() -> None:
    assert kinds(facts_of(due=[replace(DUE, finished_at=None)])) == ["incomplete"]
    assert kinds(facts_of(due=[replace(DUE, loaded_at=NOW, finished_at=NOW - timedelta(1))])) == []
    older = replace(DUE, loaded_at=NOW - timedelta(hours=1), finished_at=NOW - timedelta(1))
    assert kinds(facts_of(due=[older])) == ["incomplete"]


def test_late_dataset_says_how_late_and_how_many_wait() -> None:
    waiting = [replace(DUE, partition=f"2026-{month:02}", loaded_at=None, is_late=True) for month in (11, 12)]
    facts = facts_of(due=[replace(waiting[0], is_newest_due=False), waiting[1]])
    assert one_problem(facts).text == (
        "It was expected by 2 Nov 2026 18:40 UTC (24 days ago). The newest loaded month is 2026-10. 2 months"
        " after it are due."
    )


def test_dataset_without_contract_has_no_problems() -> None:
    gone = replace(THINGS, is_active=False, rows_unresolved=3)
    facts = facts_of(FAILED, dataset=gone, due=[replace(DUE, loaded_at=None, is_late=True)])
    assert (kinds(facts), Summary(facts).state_of(gone)) == ([], ("removed", "Removed"))


def test_only_the_newest_failures_are_shown_one_by_one() -> None:
    facts = facts_of(*(replace(FAILED, partition=f"2026-{month:02}") for month in range(1, 9)))
    found = problems_of(facts)
    assert [each.subject for each in found] == [*(f"things 2026-{month:02}" for month in range(4, 9)), "things"]
    assert found[-1].text == "3 more partitions failed: 2026-01, 2026-02, 2026-03."


def test_failed_deployment_is_a_problem_and_a_completed_one_is_not() -> None:
    runs = [Schedule("a/a", None, "Crashed", NOW, True), Schedule("b/b", NOW, "Completed", NOW)]
    assert [each.subject for each in problems_of(facts_of(schedules=runs))] == ["a/a"]


@pytest.mark.parametrize(
    ("message", "ending"),
    [
        ("", "UTC."),
        ("stale: things.\nthings 2026-10: late", "UTC. stale: things."),
        ("found 'bob@example.com' in s3://b/x", "UTC. found … in s3://b/x."),
    ],
)
def test_problem_of_a_deployment_has_the_first_line_of_its_message_without_values(message: str, ending: str) -> None:
    run = Schedule("a/a", None, "Stale", NOW, is_failed=True, last_message=message)
    [problem] = problems_of(facts_of(schedules=[run]))
    assert problem.text.startswith("The last run ended as Stale ")
    assert problem.text.endswith(ending)


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        ("found 'bob@example.com'", "bob"),
        ('found "it\'s bob"', "bob"),
        ("DETAIL: Key (email)=(bob) already exists", "bob"),
        ("unknown column bob@example.com", "bob"),
        ("12 rows:\n  bob", "bob"),
    ],
)
def test_reason_of_a_failure_hides_the_values_of_its_message(message: str, hidden: str) -> None:
    text = reason_of(replace(FAILED, error_message=f"s3://b/x: {message}"))
    assert hidden not in text
    assert "s3://b/x" in text


def test_reason_of_a_failure_works_without_a_known_class_and_without_a_message() -> None:
    assert reason_of(replace(FAILED, error_class="NoSuchError", error_message="broken")) == "broken."
    assert reason_of(replace(FAILED, error_class=None, error_message="The process ended.")) == "The process ended."


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=47), "1 day"),
        (timedelta(days=1_800), "1,800 days"),
    ],
)
def test_length_of_time_has_its_largest_unit(span: timedelta, text: str) -> None:
    assert ago(span) == text


# Outputs

EVERYTHING = facts_of(
    replace(LOADED, partition="2026-07", restatement_count=1),
    replace(LOADED, partition="2026-08", state="missing"),
    replace(LOADED, partition="2026-09", state="rejected", rows_unresolved=1, rows_rejected=1),
    FAILED,
    dataset=replace(THINGS, rows_unresolved=1, rows_rejected=1),
    due=[replace(DUE, partition="2026-11", loaded_at=None, is_late=True)],
    rejections=[REJECTION, replace(REJECTION, partition="2026-09")],
    schedules=[Schedule("things/things", NOW, "Completed", NOW)],
)


@pytest.mark.parametrize("facts", [Facts(NOW), facts_of(), EVERYTHING], ids=["nothing", "loaded", "everything"])
def test_page_is_well_formed_and_refers_to_nothing_outside(facts: Facts) -> None:
    page = status_page(Summary(facts))
    found = Elements(page)
    assert (found.errors, found.open) == ([], [])
    assert not {"script", "link", "img", "iframe", "object", "a", "base", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name in {"src", "href", "action"} or name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", page)


def test_outputs_show_every_fact() -> None:
    for text in outputs(EVERYTHING):
        for fact in (
            "4 problems need attention",
            "things",
            "Late",
            "Failed",
            "2026",
            "invalid",
            "26 Nov 2026 18:40 UTC",
        ):
            assert fact in text, fact
    page = status_page(Summary(EVERYTHING))
    states = ("loaded restated", "missing", "rejected", "failed", "late")
    assert all(f'<i class="{state}"' in page for state in states)
    assert "2 partitions, 2026-09 to 2026-10" in page
    text = status_text(Summary(EVERYTHING))
    assert "2026                 " in text
    assert "■²- ! ✗ L" in text


def test_outputs_hide_values_of_failures() -> None:
    for text in outputs(EVERYTHING):
        assert "bob@example.com" not in text
        assert "secret" not in text


def test_page_escapes_hostile_names() -> None:
    facts = facts_of(
        replace(FAILED, dataset=HOSTILE, failed_uri=HOSTILE, error_message=HOSTILE),
        replace(LOADED, dataset=HOSTILE, partition="2026-11"),
        dataset=replace(THINGS, dataset=HOSTILE, newest_partition=HOSTILE, rows_unresolved=1),
        rejections=[replace(REJECTION, dataset=HOSTILE, column_name=HOSTILE, reason=HOSTILE, example_uri=HOSTILE)],
        schedules=[Schedule(HOSTILE, NOW, HOSTILE, NOW)],
    )
    page = status_page(Summary(facts))
    found = Elements(page)
    assert (found.errors, found.open) == ([], [])
    assert not {"script", "img"} & set(found.tags)
    assert "\x1b" not in status_text(Summary(replace(facts, schedules=[Schedule("a\x1b[31m\0", NOW)])))


def test_unreachable_server_is_reported() -> None:
    for text in outputs(facts_of(schedules=None)):
        assert "The Prefect server could not be reached" in text
    for text in outputs(facts_of(schedules=[])):
        assert "no deployment" in text


def test_calendar_has_one_row_for_each_month_of_days() -> None:
    days = replace(THINGS, partition_unit="day")
    partitions = [replace(LOADED, partition=name) for name in ("2026-09-30", "2026-10-01", "2026-10-31")]
    (calendar,) = Summary(facts_of(*partitions, dataset=days)).calendars
    assert {label: sorted(cells) for label, cells in calendar.rows.items()} == {"2026-09": [30], "2026-10": [1, 31]}


def test_late_partitions_after_the_last_known_one_are_few_in_the_calendar() -> None:
    late = [
        replace(DUE, partition=f"{year}-{month:02}", loaded_at=None, is_late=True, is_newest_due=False)
        for year in range(2027, 2032)
        for month in range(1, 13)
    ]
    (calendar,) = Summary(facts_of(due=late)).calendars
    assert list(calendar.rows) == ["2026", "2027"]


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_light_and_dark_and_states_have_signs() -> None:
    light, dark = (
        {
            name: f"#{value * 2}" if len(value) == 3 else f"#{value}"
            for name, value in re.findall(r"--(\w+):#(\w+)", line)
        }
        for line in STYLE.read_text(encoding="utf-8").splitlines()[:2]
    )
    for colors in (light, dark):
        for name in ("text", "muted", "bad", "warn", "ok", "accent"):
            assert contrast(colors[name], colors["bg"]) > 4.5, name
            assert contrast(colors[name], colors["card"]) > 4.5, name
        for name in ("cell", "badcell", "warncell"):
            assert contrast(colors["text"], colors[name]) > 4.5, name
    assert all(MARKS[kind] for kind in KINDS)
