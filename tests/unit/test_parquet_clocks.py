"""Dates and times that Arrow spells equal those that polars spells."""

import polars as pl
import pyarrow as pa
import pytest
from copied_rows import binary_forms_of
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.types import TIME, TIMESTAMPTZ
from tasks.engine.formats.parquet_clocks import clock_texts
from tasks.engine.formats.parquet_spelling import texts_of
from tasks.engine.formats.parquet_values import Wanted, text_array

DAY = 86_400
FIRST_DAY, LAST_DAY = -719_528, 2_932_896
"""Days from 1970 to the first day of year 0, and to the last day of year 9999."""

RANGES = {
    pa.date32(): (FIRST_DAY, LAST_DAY),
    pa.time32("s"): (0, DAY - 1),
    pa.time32("ms"): (0, DAY * 10**3 - 1),
    pa.time64("us"): (0, DAY * 10**6 - 1),
    pa.time64("ns"): (0, DAY * 10**9 - 1),
    pa.timestamp("s"): (FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1),
    pa.timestamp("ms"): (FIRST_DAY * DAY * 10**3, (LAST_DAY + 1) * DAY * 10**3 - 1),
    pa.timestamp("us"): (FIRST_DAY * DAY * 10**6, (LAST_DAY + 1) * DAY * 10**6 - 1),
}
TYPES = pytest.mark.parametrize("type_", RANGES, ids=str)


def array(numbers: list[int | None], type_: pa.DataType) -> pa.Array:
    whole = pa.int32() if type_.bit_width == 32 else pa.int64()
    return pa.array(numbers, whole).view(type_)


def spelt_by_polars(values: pa.Array) -> pa.Array:
    if pa.types.is_time(values.type):
        return pl.Series(values).dt.to_string("%H:%M:%S%.6f").to_arrow()
    return texts_of(values, values.type, "c")


@TYPES
@given(data=st.data())
def test_texts_equal_those_of_polars(type_: pa.DataType, data: st.DataObject) -> None:
    first, last = RANGES[type_]
    numbers = st.one_of(st.none(), st.sampled_from([first, last, 0]), st.integers(first, last))
    values = array(data.draw(st.lists(numbers)), type_)
    begin = data.draw(st.integers(0, len(values)))
    for part in (values, values.slice(begin)):
        assert clock_texts(part).to_pylist() == spelt_by_polars(part).to_pylist()
        clock_texts(part).validate(full=True)


@pytest.mark.parametrize("type_", [type_ for type_ in RANGES if not pa.types.is_time(type_)], ids=str)
def test_polars_spells_unusual_years(type_: pa.DataType) -> None:
    first, last = RANGES[type_]
    for number in (first - 1, last + 1):
        assert clock_texts(array([0, number], type_)) is None


@pytest.mark.parametrize("type_", [type_ for type_ in RANGES if pa.types.is_time(type_)], ids=str)
def test_time_outside_of_the_day_is_rejected(type_: pa.DataType) -> None:
    last = RANGES[type_][1]
    texts = clock_texts(array([0, last + 1, None], type_)).to_pylist()
    assert texts == ["00:00:00.000000", texts[1], None]
    assert texts[1].startswith("<value out of range: ")
    assert binary_forms_of(TIME, texts[:2]) == [bytes(8), None]


POLARS_FIRST_DAY, POLARS_LAST_DAY = -96_465_291, 95_026_235
"""Days from 1970 to the first and the last day that polars can spell."""


@pytest.mark.parametrize("type_", [pa.date32(), *map(pa.timestamp, ("ms", "us"))], ids=str)
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York", "+14:00", "-12:00"])
def test_day_that_cannot_be_spelt_is_rejected_alone(type_: pa.DataType, zone: str | None) -> None:
    is_date = pa.types.is_date(type_)
    stored = type_ if is_date or zone is None else pa.timestamp(type_.unit, "UTC")
    written = type_ if is_date else pa.timestamp(type_.unit, zone)
    per_day = 1 if is_date else {"ms": DAY * 10**3, "us": DAY * 10**6}[type_.unit]
    last_of_day = per_day - 1
    usual = [0, POLARS_FIRST_DAY * per_day, POLARS_LAST_DAY * per_day + last_of_day]
    largest = 2 ** (type_.bit_width - 1) - 1
    unusual = [usual[1] - 1, usual[2] + 1, largest, -largest - 1]
    texts = text_array(array([*usual, None, *unusual], stored), written, "parcels.parquet, column sent", Wanted())
    spelt_alone = text_array(array(usual, stored), written, "parcels.parquet, column sent", Wanted())
    assert texts.to_pylist() == [*spelt_alone.to_pylist(), None, *[f"<value out of range: {one}>" for one in unusual]]
    assert binary_forms_of(TIMESTAMPTZ, texts.to_pylist()[4:]) == [None] * 4


@pytest.mark.parametrize("type_", [pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.int64(), pa.float64()], ids=str)
def test_polars_spells_other_types(type_: pa.DataType) -> None:
    assert clock_texts(pa.array([0], pa.int64()).view(type_)) is None


def test_polars_spells_moments_that_do_not_fit_into_microseconds() -> None:
    assert clock_texts(array([2**62], pa.timestamp("s"))) is None
