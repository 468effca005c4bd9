from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.keys import KeyTemplate, fields_of, folder_of, partition_name, partition_value

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
FAST = settings(max_examples=100)


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


HIVE = KeyTemplate("lake/", "year={year:04d}/month={month:02d}/part-*.parquet")
UNPADDED = KeyTemplate("lake/", "year={year:04d}/month={month:d}/day={day:d}/*.parquet")
HOURS = KeyTemplate("", "{year:04d}-{month:02d}-{day:02d}/{hour:02d}.csv")
ANY = KeyTemplate("in/", "*.csv")


@pytest.mark.parametrize(
    ("template", "key", "day"),
    [
        (HIVE, "lake/year=2021/month=04/part-00000-a1.snappy.parquet", date(2021, 4, 1)),
        (HIVE, "lake/year=2021/month=04/part-.parquet", date(2021, 4, 1)),
        (UNPADDED, "lake/year=2021/month=4/day=9/x.parquet", date(2021, 4, 9)),
        (UNPADDED, "lake/year=2021/month=12/day=31/x.parquet", date(2021, 12, 31)),
        (HOURS, "2021-04-09/00.csv", date(2021, 4, 9)),
        (HOURS, "2021-04-09/23.csv", date(2021, 4, 9)),
        (KeyTemplate("", "*/{year}{month}/*/*.csv"), "shop 1/202104/_x/a.csv", None),
        (KeyTemplate("", "*/{year}{month}/*/*.csv"), "shop 1/202104/x/a.csv", date(2021, 4, 1)),
        (KeyTemplate("", "{year}-{month}_*"), "2021-04_", date(2021, 4, 1)),
        (KeyTemplate("p_", "*-{year}-{month}.csv"), "p__a-2021-04.csv", date(2021, 4, 1)),
    ],
)
def test_wildcards_hours_and_unpadded_numbers_have_the_date_of_the_key(
    template: KeyTemplate, key: str, day: date | None
) -> None:
    assert template.date_of(key) == day


@pytest.mark.parametrize(
    ("template", "key"),
    [
        (HIVE, "lake/year=2021/month=04/_SUCCESS"),
        (HIVE, "lake/year=2021/month=04/.part-0.parquet.crc"),
        (HIVE, "lake/year=2021/month=04/"),
        (HIVE, "lake/year=2021/month=04/sub/part-0.parquet"),
        (HIVE, "lake/year=2021/month=04/part-0/x.parquet"),
        (HIVE, "lake/year=2021/month=4/part-0.parquet"),
        (UNPADDED, "lake/year=2021/month=04/day=9/x.parquet"),
        (UNPADDED, "lake/year=2021/month=4/day=32/x.parquet"),
        (UNPADDED, "lake/year=2021/month=4/day=9/_x.parquet"),
        (HOURS, "2021-04-09/24.csv"),
        (HOURS, "2021-04-09/0.csv"),
        (HOURS, "2021-02-30/00.csv"),
        (ANY, "in/_SUCCESS.csv"),
        (ANY, "in/.hidden.csv"),
        (ANY, "in/.csv"),
        (ANY, "in/sub/a.csv"),
        (KeyTemplate("in/", "*"), "in/"),
        (KeyTemplate("in/", "*"), "in/_SUCCESS"),
        (KeyTemplate("in/", "*"), "in/_committed_123"),
        (KeyTemplate("in/", "*"), "in/sub_$folder$"),
        (KeyTemplate("in/", "*"), "in/sub/"),
        (KeyTemplate("", "*"), "_SUCCESS"),
    ],
)
def test_marker_files_and_other_folders_do_not_match(template: KeyTemplate, key: str) -> None:
    assert not template.matches(key) or template.date_of(key) is None


def test_template_without_a_date_matches_names_only() -> None:
    assert ANY.matches("in/a.csv")
    assert ANY.date_of("in/a.csv") is None
    assert ANY.listing_prefix(None) == "in/"


@pytest.mark.parametrize(
    ("template", "value", "unit", "prefix"),
    [
        (HIVE, date(2021, 4, 9), "month", "lake/year=2021/month=04/part-"),
        (UNPADDED, date(2021, 4, 9), "month", "lake/year=2021/month=4/day="),
        (UNPADDED, date(2021, 4, 9), "day", "lake/year=2021/month=4/day=9/"),
        (HOURS, date(2021, 4, 9), "day", "2021-04-09/"),
        (HOURS, date(2021, 4, 9), "month", "2021-04-"),
        (KeyTemplate("", "*/{year}{month}.csv"), date(2021, 4, 9), "month", ""),
    ],
)
def test_listing_prefix_ends_at_a_wildcard_and_at_an_hour(
    template: KeyTemplate, value: date, unit: str, prefix: str
) -> None:
    assert template.listing_prefix(value, unit) == prefix  # type: ignore[arg-type]


def test_range_of_unpadded_months_lists_all_keys_because_they_do_not_sort_by_date() -> None:
    first, last = date(2021, 2, 1), date(2021, 11, 1)
    assert UNPADDED.range_prefix(first, last, "month") == "lake/year="
    assert HIVE.range_prefix(first, last, "month") == "lake/year=2021/month="
    assert HIVE.range_prefix(date(2020, 2, 1), last, "month") == "lake/year=202"


def test_key_of_a_template_with_a_wildcard_keeps_the_wildcard() -> None:
    assert HIVE.key_of(date(2021, 4, 9)) == "lake/year=2021/month=04/part-*.parquet"
    assert HOURS.key_of(date(2021, 4, 9)) == "2021-04-09/{hour:02d}.csv"
    assert UNPADDED.key_of(date(2021, 4, 9)) == "lake/year=2021/month=4/day=9/*.parquet"


def test_field_with_two_values_does_not_match_in_any_spelling() -> None:
    template = KeyTemplate("", "{month:d}/{year}-{month:02d}.csv")
    assert template.date_of("4/2021-04.csv") == date(2021, 4, 1)
    assert template.date_of("5/2021-04.csv") is None


@pytest.mark.parametrize(
    "template",
    ["**.csv", "a/**/b.csv", "", "folder/", "{week}.csv", "{year:02d}.csv", "{month:03d}.csv", "{year:d}", "{month",
     "{year}/{month}/{hour:02d}.csv"],
)  # fmt: skip
def test_invalid_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        fields_of(template)


@pytest.mark.parametrize(("key", "folder"), [("a/b/c.csv", "a/b/"), ("c.csv", ""), ("a/", "a/")])
def test_folder_of_a_key_ends_with_a_slash(key: str, folder: str) -> None:
    assert folder_of(key) == folder
