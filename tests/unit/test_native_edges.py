"""Edge cases of the native code. Python's decoder and calendar are the oracle."""

import ctypes
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from copied_rows import parsed, parsed_by

from tasks.contracts import Column
from tasks.contracts.types import DATE, TEXT, TIMESTAMP_MS, TIMESTAMPTZ
from tasks.engine.errors import ContractError
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.csv_records import read_records
from tasks.engine.formats.native.binding import library

ONE_COLUMN = ColumnMatch({"x": 0}, ("x",), ())
STRUCTURE = b'\0\n\r,"'
"""Bytes that mean something in CSV; no sequence below holds one."""

EDGES = bytes([0x01, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xFF])
"""Bytes on both sides of each limit of the bytes that may follow a lead byte."""


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def refused(values: Iterable[bytes]) -> set[bytes]:
    """Which values CSV refuses as not UTF-8."""
    data = b"\n".join(values)
    rejected = [row for piece in read_records(data, ONE_COLUMN) for row in piece.rejected()]
    assert {row.reason for row in rejected} <= {"not UTF-8"}
    return {row.raw for row in rejected}


def plain(*choices: bytes) -> Iterator[bytes]:
    """Every sequence of one byte of each choice."""
    return map(bytes, itertools.product(*(bytes(set(choice) - set(STRUCTURE)) for choice in choices)))


ANY, HIGH = bytes(range(256)), bytes(range(0x80, 0x100))


@pytest.mark.slow
@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param([ANY], id="1 byte"),
        pytest.param([ANY, ANY], id="2 bytes"),
        pytest.param([HIGH, EDGES, EDGES], id="3 bytes"),
        pytest.param([bytes([0xE0, 0xED, 0xEF]), ANY, EDGES], id="3 bytes, every second one"),
        pytest.param([bytes(range(0xE0, 0x100)), EDGES, EDGES, EDGES], id="4 bytes"),
        pytest.param([bytes([0xF0, 0xF3, 0xF4]), ANY, EDGES, EDGES], id="4 bytes, every second one"),
    ],
)
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"a", b"z"), ("é".encode(), "\U0010ffff".encode())])
def test_utf8_validation_agrees_with_python(sequences: list[bytes], before: bytes, after: bytes) -> None:
    values = {before + value + after for value in plain(*sequences)}
    expected = {value for value in values if not is_text(value)}
    assert expected
    assert refused(values) == expected


@pytest.mark.parametrize("text", ["", "a", "abc", "é", "aé", "éa", "aéb", "日本語", "a日", "😀b", "e\u0301x", "😀" * 7])
@pytest.mark.parametrize("first", range(1, 9))
def test_first_characters_are_whole(text: str, first: int) -> None:
    assert parsed_by(Column("x", TEXT, "Any.", first=first), text) == [text[:first]]


def test_first_is_applied_before_after() -> None:
    column = Column("x", TEXT, "Any.", first=5, after="@")
    assert parsed_by(column, "é@日本語x", "日本語😀x@", "@é") == ["日本語", None, "é"]


@pytest.mark.parametrize(("first", "after"), [(-1, ""), (0, "é"), (0, "ab")])
def test_invalid_first_or_after_is_refused(first: int, after: str) -> None:
    with pytest.raises(ContractError, match="expected first to be at least 0, and after to be empty"):
        parsed_by(Column("x", TEXT, "Any.", first=first, after=after), "a")


FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
YEARS = (0, 1, 4, 99, 100, 400, 1582, 1899, 1900, 1970, 1999, 2000, 2001, 2023, 2024, 2100, 9996, 9999)


def day_or_none(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def test_days_are_those_of_the_calendar() -> None:
    days = list(itertools.product(YEARS, range(14), range(33)))
    texts = [f"{year:04}-{month:02}-{day:02}" for year, month, day in days]
    expected = [day_or_none(*day) for day in days]
    assert parsed(DATE, *texts) == expected
    moments = [datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None for day in expected]
    assert parsed(TIMESTAMPTZ, *texts) == moments
    assert parsed(TIMESTAMP_MS, *(f"{text}T00:00:00" for text in texts)) == [
        moment and moment.replace(tzinfo=None) for moment in moments
    ]


@pytest.mark.parametrize(("part", "last"), [(0, 23), (1, 59), (2, 60)])
def test_clocks_end_where_they_should(part: int, last: int) -> None:
    """Second 60 is the next minute, as in Postgres; hour 24 has neither minutes nor seconds."""
    values = [*range(last + 2), 99]
    clocks = [[value if place == part else 1 for place in range(3)] for value in values]
    texts = ["2024-02-29T{:02}:{:02}:{:02}".format(*clock) for clock in clocks]
    day = datetime(2024, 2, 29)  # noqa: DTZ001 - as written
    moments = [day + timedelta(hours=hour, minutes=minute, seconds=second) for hour, minute, second in clocks]
    expected = [moment if clock[part] <= last else None for moment, clock in zip(moments, clocks, strict=True)]
    assert parsed(TIMESTAMP_MS, *texts) == expected
    assert parsed(TIMESTAMPTZ, *texts) == [moment and moment.replace(tzinfo=UTC) for moment in expected]


@pytest.mark.parametrize("sign", ["+", "-"])
def test_offsets_end_where_those_of_postgres_end(sign: str) -> None:
    offsets = [(hour, minute) for hour in (*range(18), 99) for minute in (0, 1, 30, 58, 59, 60, 99)]
    texts = [f"2024-02-29T12:00:00{sign}{hour:02}:{minute:02}" for hour, minute in offsets]
    noon, direction = datetime(2024, 2, 29, 12, tzinfo=UTC), -1 if sign == "+" else 1
    assert parsed(TIMESTAMPTZ, *texts) == [
        noon + direction * timedelta(hours=hour, minutes=minute) if hour <= 15 and minute <= 59 else None
        for hour, minute in offsets
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0001-01-01T00:00:00Z", FIRST),
        ("0001-01-01T00:00:00.000001Z", FIRST + timedelta.resolution),
        ("0001-01-01T00:00:00+00:01", None),
        ("0001-01-01T00:00:59.999999+00:01", None),
        ("0001-01-01T00:01:00+00:01", FIRST),
        ("0001-01-01T15:59:00+15:59", FIRST),
        ("0001-01-01T15:58:59.999999+15:59", None),
        ("0001-01-01T00:00:00-00:01", FIRST + timedelta(minutes=1)),
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("9999-12-31T23:59:59.999999+00:01", LAST - timedelta(minutes=1)),
        ("9999-12-31T23:58:59.999999-00:01", LAST),
        ("9999-12-31T23:59:00-00:01", None),
        ("9999-12-31T08:00:59.999999-15:59", LAST),
        ("9999-12-31T08:01:00-15:59", None),
    ],
)
def test_moments_end_with_the_years_that_clients_can_read(text: str, moment: datetime | None) -> None:
    assert parsed(TIMESTAMPTZ, text) == [moment]


@pytest.mark.parametrize(
    ("offsets", "is_sound"),
    [
        ((0, 1, 3, 3, 7), True),
        ((1, 1, 3), True),
        ((7, 7), True),
        ((0, 2, 3), False),  # inside of é
        ((2, 3), False),
        ((0, 1, 4), False),  # inside of 日 or of what follows it
        ((0, 3, 1), False),
        ((-1, 1), False),
        ((0, 8), False),
    ],
)
def test_strings_are_utf8_if_each_of_them_is(offsets: tuple[int, ...], is_sound: bool) -> None:
    data = "aé日b".encode()
    assert len(data) == 7
    text, places = ctypes.create_string_buffer(data, len(data)), (ctypes.c_int64 * len(offsets))(*offsets)
    found = library.strings_are_utf8(ctypes.addressof(places), len(offsets) - 1, ctypes.addressof(text), len(data))
    assert found == is_sound
