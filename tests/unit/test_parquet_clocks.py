"""Dates and times that Arrow spells equal those that polars spells."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.formats.parquet_clocks import clock_texts
from tasks.engine.formats.parquet_spelling import spelt

DAY = 86_400
FIRST_DAY, LAST_DAY = -719_528, 2_932_896
"""Days from 1970 to the first day of year 0, and to the last day of year 9999."""

RANGES = {
    pa.date32(): (FIRST_DAY, LAST_DAY),
    pa.time32("s"): (0, DAY - 1),
    pa.time32("ms"): (0, DAY * 10**3 - 1),
    pa.time64("us"): (0, DAY * 10**6 - 1),
    pa.timestamp("s"): (FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1),
    pa.timestamp("ms"): (FIRST_DAY * DAY * 10**3, (LAST_DAY + 1) * DAY * 10**3 - 1),
    pa.timestamp("us"): (FIRST_DAY * DAY * 10**6, (LAST_DAY + 1) * DAY * 10**6 - 1),
}
TYPES = pytest.mark.parametrize("type_", RANGES, ids=str)


def array(numbers: list[int | None], type_: pa.DataType) -> pa.Array:
    whole = pa.int32() if type_.bit_width == 32 else pa.int64()
    return pa.array(numbers, whole).view(type_)


@TYPES
@given(data=st.data())
def test_texts_equal_those_of_polars(type_: pa.DataType, data: st.DataObject) -> None:
    first, last = RANGES[type_]
    numbers = st.one_of(st.none(), st.sampled_from([first, last, 0]), st.integers(first, last))
    values = array(data.draw(st.lists(numbers)), type_)
    begin = data.draw(st.integers(0, len(values)))
    for part in (values, values.slice(begin)):
        assert clock_texts(part).to_pylist() == spelt(part, type_, "c").to_pylist()
        clock_texts(part).validate(full=True)


@TYPES
def test_polars_spells_unusual_years(type_: pa.DataType) -> None:
    first, last = RANGES[type_]
    for number in (first - 1, last + 1):
        assert pa.types.is_time(type_) or clock_texts(array([0, number], type_)) is None


@pytest.mark.parametrize(
    "type_", [pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.time64("ns"), pa.int64(), pa.float64()], ids=str
)
def test_polars_spells_other_types(type_: pa.DataType) -> None:
    assert clock_texts(pa.array([0], pa.int64()).view(type_)) is None


def test_polars_spells_moments_that_do_not_fit_into_microseconds() -> None:
    assert clock_texts(array([2**62], pa.timestamp("s"))) is None
