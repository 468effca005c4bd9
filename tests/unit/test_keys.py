from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.keys import KeyTemplate, partition_name, partition_value

MONTHLY = KeyTemplate("", "{year:04d}/{month:02d}/things.csv")
DAILY = KeyTemplate("raw/", "{year}/{month}/{day}/things.csv")
TEMPLATES = [
    MONTHLY,
    DAILY,
    KeyTemplate("a.b+c/{x}/", "{year:04d}/{month:02d}/things.csv"),
    KeyTemplate("raw/", "{year}-{month}-{day}.csv.gz"),
    KeyTemplate("", "year={year:04d}/month={month:02d}/day={day:02d}/{year:04d}{month:02d}{day:02d}.parquet"),
    KeyTemplate("", "{month:02d}.{year:04d}"),
]
FAST = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("template", TEMPLATES)
@FAST
@given(day=st.dates())
def test_key_leads_back_to_its_day(template: KeyTemplate, day: date) -> None:
    first = day if "{day" in template.template else day.replace(day=1)
    assert template.date_of(template.key_of(day)) == first


@pytest.mark.parametrize("template", TEMPLATES)
@FAST
@given(day=st.dates())
def test_key_begins_with_every_listing_prefix_of_its_partition(template: KeyTemplate, day: date) -> None:
    key = template.key_of(day)
    assert key.startswith(template.listing_prefix(day, "month"))
    assert key.startswith(template.listing_prefix(day, "day"))
    assert key.startswith(template.listing_prefix(None))


@pytest.mark.parametrize(
    ("template", "key"),
    [
        (MONTHLY, "2021/04/things.csv"),
        (DAILY, "raw/2021/04/09/things.csv"),
        (TEMPLATES[2], "a.b+c/{x}/2021/04/things.csv"),
    ],
)
def test_key_is_written_with_leading_zeros(template: KeyTemplate, key: str) -> None:
    assert template.key_of(date(2021, 4, 9)) == key


@pytest.mark.parametrize(
    "key",
    [
        "", "2021/04/", "2021/04/things.csv.bak", "x2021/04/things.csv", "x/2021/04/things.csv", "2021/4/things.csv",
        "2021/13/things.csv", "2021/00/things.csv", "0000/04/things.csv", "21/04/things.csv", "2021/04/thingsXcsv",
        "2021/04/things.csv\n", "2021/04/09/things.csv", "\u0662\u0660\u0662\u0661/04/things.csv", "2021/04/THINGS.csv",
    ],
)  # fmt: skip
def test_key_that_does_not_match_has_no_date(key: str) -> None:
    assert MONTHLY.date_of(key) is None


def test_prefix_is_matched_literally() -> None:
    template = KeyTemplate("a.b+c/", "{year:04d}/{month:02d}/things.csv")
    assert template.date_of("a.b+c/2021/04/things.csv") == date(2021, 4, 1)
    assert template.date_of("aXbbc/2021/04/things.csv") is None


@pytest.mark.parametrize("key", ["raw/2021/02/29/things.csv", "raw/2021/04/31/things.csv", "raw/2021/04/00/things.csv"])
def test_invalid_date_in_a_key_does_not_match(key: str) -> None:
    assert DAILY.date_of(key) is None


def test_repeated_field_must_have_equal_values() -> None:
    template = KeyTemplate("", "{year}/{month}/{year}-{month}.csv")
    assert template.date_of("2021/04/2021-04.csv") == date(2021, 4, 1)
    assert template.date_of("2021/04/2021-05.csv") is None


@pytest.mark.parametrize(
    ("template", "value", "unit", "prefix"),
    [
        (MONTHLY, date(2021, 4, 9), "month", "2021/04/things.csv"),
        (MONTHLY, None, "month", ""),
        (DAILY, date(2021, 4, 9), "month", "raw/2021/04/"),
        (DAILY, date(2021, 4, 9), "day", "raw/2021/04/09/things.csv"),
        (DAILY, None, "day", "raw/"),
        (KeyTemplate("p/", "events-{day}.{month}.{year}.csv"), date(2021, 4, 9), "month", "p/events-"),
    ],
)
def test_listing_prefix_is_the_longest_fixed_beginning(
    template: KeyTemplate, value: date, unit: str, prefix: str
) -> None:
    assert template.listing_prefix(value, unit) == prefix  # type: ignore[arg-type]


@FAST
@given(st.dates())
def test_partition_has_one_name(day: date) -> None:
    assert partition_value(partition_name(day, "day")) == day
    assert partition_value(partition_name(day, "month")) == day.replace(day=1)
    assert len(partition_name(day, "month")) == 7


@pytest.mark.parametrize("name", ["", "2021", "2021-13", "2021-4", "2021-02-30", "april", "2021-04-01T00"])
def test_invalid_partition_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        partition_value(name)
