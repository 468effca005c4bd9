"""The bounds of an object's row count: robust, wide for small objects, and with few false warnings on real patterns."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.volume import Volume
from tasks.engine.load.volume_guard import HISTORY, SHORTEST_HISTORY, bounds_of

OBJECTS = 4_000


def _steady(_number: int) -> float:
    return 1_000


def _growing(number: int) -> float:
    return 1_000 * 1.002**number


def _weekly(number: int) -> float:
    return 1_000 * (0.2 if number % 7 >= 5 else 1)


def _closed_on_sundays(number: int) -> float:
    return 1_000 * (0.05 if number % 7 == 6 else 1)


def _seasonal(number: int) -> float:
    return 1_000 * (1 + 0.6 * math.sin(number / 58))


def _series(pattern: Callable[[int], float], noise: float) -> list[int]:
    source = random.Random(pattern.__name__)  # noqa: S311 - a reproducible sample
    return [int(pattern(number) * math.exp(source.gauss(0, noise))) for number in range(OBJECTS)]


def _share_outside(series: list[int], scale: float) -> float:
    outside = [
        not bounds_of(Volume(), series[number - HISTORY : number], [series[number - 7]]).includes(int(rows * scale))
        for number, rows in enumerate(series)
        if number >= HISTORY
    ]
    return sum(outside) / len(outside)


@pytest.mark.parametrize(
    ("pattern", "noise"),
    [(_steady, 0.15), (_steady, 0.4), (_growing, 0.15), (_weekly, 0.15), (_closed_on_sundays, 0.15), (_seasonal, 0.15)],
)
def test_usual_patterns_cause_few_warnings(pattern: Callable[[int], float], noise: float) -> None:
    assert _share_outside(_series(pattern, noise), 1) < 0.01


@pytest.mark.parametrize("pattern", [_steady, _growing, _seasonal, _closed_on_sundays])
@pytest.mark.parametrize("scale", [0.1, 5])
def test_a_tenth_or_five_times_of_the_usual_rows_cause_a_warning(pattern: Callable[[int], float], scale: float) -> None:
    assert _share_outside(_series(pattern, 0.15), scale) > (0.99 if pattern is not _closed_on_sundays else 0.8)


@given(counts=st.lists(st.integers(0, 10**9), max_size=HISTORY), similar=st.lists(st.integers(0, 10**9), max_size=2))
def test_no_computed_bounds_include_an_object_without_rows(counts: list[int], similar: list[int]) -> None:
    bounds = bounds_of(Volume(), counts, similar)
    assert not bounds.includes(0)
    assert bounds.most is None or bounds.least <= bounds.most


@given(st.integers(1, 10**9), st.integers(SHORTEST_HISTORY, HISTORY))
def test_bounds_of_equal_objects_are_half_and_double_plus_ten_rows(rows: int, length: int) -> None:
    bounds = bounds_of(Volume(), [rows] * length)
    assert bounds.least == pytest.approx(max((rows + 10) / 2 - 10, 1), abs=1, rel=1e-6)
    assert bounds.most == pytest.approx(2 * (rows + 10) - 10, abs=1, rel=1e-6)


def test_one_unusual_object_does_not_move_the_bounds() -> None:
    assert bounds_of(Volume(), [1_000] * 11 + [3]) == bounds_of(Volume(), [1_000] * 11 + [3]).__class__(
        495, 2010, "the last 12 objects have 3 to 1,000 rows"
    )


def test_a_short_history_has_no_bounds_except_that_an_object_has_rows() -> None:
    bounds = bounds_of(Volume(), [1_000] * (SHORTEST_HISTORY - 1))
    assert (bounds.least, bounds.most) == (1, None)


@pytest.mark.parametrize(
    ("volume", "least", "most"),
    [
        (Volume(min_rows=0), 0, 2010),
        (Volume(min_rows=900), 900, 2010),
        (Volume(max_rows=1_100), 495, 1_100),
        (Volume(min_rows=5, max_rows=6), 5, 6),
        (Volume(factor=10), 91, 10_090),
    ],
)
def test_the_contract_overrides_bounds(volume: Volume, least: int, most: int) -> None:
    bounds = bounds_of(volume, [1_000] * HISTORY)
    assert (bounds.least, bounds.most) == (least, most)


def test_a_volume_refuses_invalid_values() -> None:
    with pytest.raises(ValueError, match="factor of at least 1"):
        Volume(factor=0.5)
    with pytest.raises(ValueError, match="min_rows <= max_rows"):
        Volume(min_rows=5, max_rows=4)
    with pytest.raises(ValueError, match="min_rows <= max_rows"):
        Volume(min_rows=-1)
