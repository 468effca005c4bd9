"""Dates and times in declared formats: the C parser gives the same values as `strptime`."""

from dataclasses import replace
from datetime import datetime

import pytest
from copied_rows import batch_of, binary_forms_of, one_column
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.spelling import Spelling
from tasks.contracts.spelt_types import type_for_spelling
from tasks.contracts.types import DATE, TIME, TIMESTAMP, TIMESTAMP_MS, TIMESTAMPTZ, ColumnType
from tasks.engine.formats.rows import RowEncoder

FORMATS = {
    "date": [
        "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%Y%m%d", "%d%m%y", "%Y.%d.%m.", "%d1%m2%Y", "%%%d %m  %Y", "%Y年%m月%d日",
        "%d.%m.%Y %y", "%y-%d-%m",
    ],
    "time": ["%H:%M:%S", "%H.%M", "%Hh%Mm%Ss", "%H%M%S", "%S:%M:%H.%f", "%H", "%f %H"],
    "timestamp": [
        "%d.%m.%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y%m%d%H%M%S%f", "%m/%d/%y %H:%M", "%d.%m.%Y",
        "%H:%M:%S,%f %d-%m-%Y", "%Y%m%d %H",
    ],
}  # fmt: skip
TYPES = {DATE: "date", TIME: "time", TIMESTAMP: "timestamp", TIMESTAMP_MS: "timestamp", TIMESTAMPTZ: "timestamp"}
CASES = [(type_, declared) for type_, field in TYPES.items() for declared in FORMATS[field]]
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999))  # noqa: DTZ001 - without a zone
EDITS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", *"0123456789 .:/-T٣\0\t", "60", "24", "31"])))


def typed(type_: ColumnType, declared: str) -> ColumnType:
    field = TYPES[type_]
    return type_for_spelling(type_, Spelling(**{field: declared}))  # type: ignore[arg-type]


def unpadded(text: str) -> str:
    """The text without zeros before another digit."""
    kept = [one for place, one in enumerate(text) if one != "0" or not text[place + 1 : place + 2].isdigit()]
    return "".join(kept)


def edited(text: str, edits: list[tuple[int, str]]) -> str:
    for place, mark in edits[:2]:
        text = text[:place] + mark + text[place + 1 :]
    return text


@given(st.sampled_from(CASES), st.lists(st.tuples(MOMENTS, st.booleans(), EDITS), min_size=1, max_size=10))
def test_numeric_format_gives_the_values_of_strptime(
    case: tuple[ColumnType, str], cases: list[tuple[datetime, bool, list[tuple[int, str]]]]
) -> None:
    found, declared = typed(*case), case[1]
    texts = []
    for moment, is_padded, edits in cases:
        written = moment.strftime(declared)
        texts.append(edited(written if is_padded else unpadded(written), edits))
    assert binary_forms_of(found, texts) == binary_forms_of(replace(found, format=""), texts)


@pytest.mark.parametrize(
    ("declared", "is_numeric"),
    [("%d.%m.%Y %H:%M:%S", True), ("%d %b %Y", False), ("%d.%m.%Y %z", False), ("%d.%m.%Y %y", False),
     ("%Y%m%d", True), ("%d٣%m.%Y", False)],
)  # fmt: skip
def test_only_a_numeric_format_is_read_without_python(declared: str, is_numeric: bool) -> None:
    def refused(text: str) -> str:
        raise AssertionError(text)

    found = typed(TIMESTAMPTZ, declared)
    assert bool(found.format) == is_numeric
    if is_numeric:
        text = datetime(2021, 4, 5, 6, 7, 8).strftime(declared)  # noqa: DTZ001 - the format has no offset
        assert binary_forms_of(replace(found, derive=refused), [text]) != [None]


@pytest.mark.parametrize(
    ("declared", "text", "iso"),
    [
        ("%d.%m.%Y %H:%M:%S,%f", "01.01.0001 00:00:00,000000", "0001-01-01 00:00:00"),
        ("%d.%m.%Y %H:%M:%S,%f", "31.12.9999 23:59:59,999999", "9999-12-31 23:59:59.999999"),
        ("%d.%m.%Y %H:%M:%S,%f", "1.1.2021 0:0:0,5", "2021-01-01 00:00:00.5"),
        ("%Y%m%d%H%M%S%f", "99991231235959999999", "9999-12-31 23:59:59.999999"),
        ("%d/%m/%y", "31/12/68", "2068-12-31 00:00:00"),
        ("%d/%m/%y", "01/01/69", "1969-01-01 00:00:00"),
    ],
)
def test_limits_of_each_part_are_read_without_python(declared: str, text: str, iso: str) -> None:
    def refused(text: str) -> str:
        raise AssertionError(text)

    found = typed(TIMESTAMP, declared)
    assert binary_forms_of(replace(found, derive=refused), [text, f" {text} "]) == binary_forms_of(TIMESTAMP, [iso]) * 2


def test_derivation_of_a_column_comes_before_a_numeric_format() -> None:
    column = replace(one_column(DATE).columns[0], derive=lambda text: text and text[1:])
    contract = replace(one_column(DATE), columns=(column,), spelling=Spelling(date="%d.%m.%Y"))
    rows = RowEncoder(contract).encode(batch_of("x", ["x05.04.2021", "5.04.2021"]))
    assert (rows.count, rows.invalid) == (1, [1])
