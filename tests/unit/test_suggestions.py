"""Suggestions of a plan: the changed column takes the values, by the encoder of loads."""

from collections import Counter
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts import Column, Contract
from tasks.contracts.spelling import Spelling
from tasks.contracts.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INET,
    INTEGER,
    NUMERIC,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    VARCHAR,
    ColumnType,
)
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.load.suggestions import Values, encoder_of, suggestion_of
from tasks.engine.load.written_values import CLOCKS, DATES, MOMENTS, possible_formats


def suggested(type_: ColumnType, texts: list[str], **options: object) -> str:
    """The suggestion for a column with these texts, each of which occurs in 50 rows."""
    column = Column("x", type_, "X.", **options)  # type: ignore[arg-type]
    contract = Contract("things", "things_staging.things", "Things.", (column,))
    found = StringColumns.of("x", texts * 50)
    invalid = encoder_of(contract, column).invalid_rows(found)
    rejected: Counter[str | None] = Counter((texts * 50)[row] for row in invalid)
    return suggestion_of(contract, column, rejected, Values(contract, [found]))


@pytest.mark.parametrize(
    ("type_", "texts", "expected"),
    [
        pytest.param(INTEGER, ["1", "NA"], 'nulls=("NA",)', id="marker"),
        pytest.param(INTEGER, ["1", "\\N", "-", ""], 'nulls=("\\\\N", "-")', id="markers"),
        pytest.param(DATE, ["2021-04-01", "  "], 'nulls=("  ",)', id="blanks"),
        pytest.param(DATE, ["01.04.2021", "31.12.2021"], 'spelling=Spelling(date="%d.%m.%Y")', id="german-date"),
        pytest.param(DATE, ["04/01/2021", "12/31/2021"], 'spelling=Spelling(date="%m/%d/%Y")', id="american-date"),
        pytest.param(
            DATE,
            ["04/01/2021", "02/03/2021"],
            'spelling=Spelling(date="%d/%m/%Y") or spelling=Spelling(date="%m/%d/%Y"),'
            " and the sample does not show which",
            id="day-or-month",
        ),
        pytest.param(DATE, ["20210401", "20211231"], 'spelling=Spelling(date="%Y%m%d")', id="compact-date"),
        pytest.param(DATE, ["1617235200", "1640908800"], 'spelling=Spelling(date="epoch seconds")', id="epoch-date"),
        pytest.param(DATE, ["2021-04-01 10:00:00"], "type TIMESTAMP", id="date-with-time"),
        pytest.param(TIMESTAMPTZ, ["1617235200"], 'spelling=Spelling(timestamp="epoch seconds")', id="epoch"),
        pytest.param(
            TIMESTAMPTZ, ["1617235200123"], 'spelling=Spelling(timestamp="epoch milliseconds")', id="epoch-milliseconds"
        ),
        pytest.param(TIMESTAMP, ["31.12.2021 23:59"], 'spelling=Spelling(timestamp="%d.%m.%Y %H:%M")', id="moment"),
        pytest.param(TIME, ["11:59 PM"], 'spelling=Spelling(time="%I:%M %p")', id="time"),
        pytest.param(NUMERIC(8, 2), ["1,50", "12,00"], 'spelling=Spelling(decimal=",")', id="decimal-comma"),
        pytest.param(
            NUMERIC(8, 2), ["1.234,50", "12,00"], 'spelling=Spelling(decimal=",", thousands=".")', id="german-number"
        ),
        pytest.param(NUMERIC(8, 2), ["1,234.50", "12"], 'spelling=Spelling(thousands=",")', id="english-number"),
        pytest.param(INTEGER, ["1,234", "1,234,567"], 'spelling=Spelling(thousands=",")', id="thousands"),
        pytest.param(INTEGER, ["517.0", "12"], "spelling=Spelling(decimal_integers=True)", id="whole-double"),
        pytest.param(INTEGER, ["3000000000", "1"], "type BIGINT", id="bigint"),
        pytest.param(SMALLINT, ["40000", "1"], "type INTEGER", id="integer"),
        pytest.param(INTEGER, ["1.5", "2"], "type NUMERIC(11, 1)", id="numeric"),
        pytest.param(BIGINT, ["123456789012345678901"], "type NUMERIC(21, 0)", id="long-number"),
        pytest.param(NUMERIC(4, 2), ["123456.789", "1.5"], "type NUMERIC(9, 3)", id="more-digits"),
        pytest.param(BOOLEAN, ["ja", "nein"], 'spelling=Spelling(true=("ja",), false=("nein",))', id="boolean"),
        pytest.param(VARCHAR(3), ["abcdef", "ab"], "type VARCHAR(6)", id="varchar"),
        pytest.param(INTEGER, ["abc", "1"], "type TEXT", id="text"),
        pytest.param(UUID, ["x1"], "type TEXT", id="uuid"),
        pytest.param(INET, ["localhost"], "type TEXT", id="inet"),
        pytest.param(
            INTEGER,
            ["1,50", "NA"],
            'nulls=("NA",) and type NUMERIC(12, 2) and spelling=Spelling(decimal=",")',
            id="both",
        ),
    ],
)
def test_change_that_takes_all_values_is_suggested(type_: ColumnType, texts: list[str], expected: str) -> None:
    assert suggested(type_, texts) == expected


def test_missing_values_of_a_required_column_need_nullable() -> None:
    assert suggested(INTEGER, ["1", "NA"], nullable=False) == (
        'nulls=("NA",) and nullable=True, if a value may be missing'
    )


def test_marker_is_added_to_those_of_the_column() -> None:
    assert suggested(INTEGER, ["1", "NA", "?"], nulls=("?",)) == 'nulls=("?", "NA")'


def test_declared_spelling_is_kept() -> None:
    declared = Spelling(date="%d.%m.%Y", thousands=".", decimal=",")
    assert suggested(INTEGER, ["1.234", "517,0"], spelling=declared) == (
        'spelling=Spelling(decimal=",", thousands=".", decimal_integers=True, date="%d.%m.%Y")'
    )


def test_few_damaged_rows_need_no_change() -> None:
    texts = [str(number) for number in range(300)]
    assert suggested(INTEGER, [*texts, "garbage"]) == ""
    assert suggested(DATE, [*(f"{n % 28 + 1:02d}.04.2021" for n in range(300)), "garbage"]).startswith(
        'spelling=Spelling(date="%d.%m.%Y"); 50 rows of the sample would still be rejected'
    )


def test_column_with_a_function_of_its_own_gets_no_other_type() -> None:
    assert suggested(INTEGER, ["x", "NA"], derive=lambda text: text) == 'nulls=("NA",)'


def test_valid_columns_need_no_suggestion() -> None:
    assert suggested(DOUBLE, ["1e5"]) == suggested(TEXT, ["NA"]) == ""


@given(st.sampled_from([*DATES, *CLOCKS, *MOMENTS]), st.datetimes(datetime(1000, 1, 1)), st.booleans())  # noqa: DTZ001 - without a zone
def test_format_of_a_text_is_possible(declared: str, moment: datetime, has_short_numbers: bool) -> None:
    text = moment.strftime(declared)
    assert possible_formats([declared], ["none", text]) == [declared]
    if has_short_numbers:
        text = moment.replace(year=2004, microsecond=100_000).strftime(declared.replace("%d", "%-d").replace("%f", "1"))
        assert possible_formats([declared], [text]) == [declared]


@pytest.mark.parametrize("text", ["", "never", "12", "13.13", "1 234 567 890 123 456"])
def test_text_of_another_shape_has_no_possible_format(text: str) -> None:
    assert possible_formats([*DATES, *MOMENTS], [text]) == []
