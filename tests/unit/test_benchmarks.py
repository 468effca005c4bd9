"""The comparison of benchmark results with the kept ones, and the verdict on growth."""

from dataclasses import replace

import pytest

from benchmarks.__main__ import all_cases
from benchmarks.comparison import compared, growth
from benchmarks.measure import Outcome, Result, outcome_of

TALLY = Result("tally", "loads", 1000, 2.0, 1.0, 1.0, 100.0, 0.9, (2.0,))
PSQL = replace(TALLY, name="psql", seconds=1.0)
KEPT = Outcome("formats/csv", "load", "rows", "linear", "psql", (TALLY, PSQL))


def lines(*, is_same_machine: bool = True, base: str = "psql", **changed: float) -> list[str]:
    now = replace(KEPT, base=base, results=(replace(TALLY, **changed), PSQL))  # type: ignore[arg-type]
    kept = {"formats/csv": KEPT.facts()}
    return [*compared(now, kept, is_same_machine=is_same_machine, tolerance=0.2)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cpu_seconds": 1.5}, "slower: formats/csv: tally, 1,000 rows: CPU 2.00 -> 2.50 s"),
        ({"server_cpu_seconds": 1.5}, "slower: formats/csv: tally, 1,000 rows: CPU 2.00 -> 2.50 s"),
        ({"cpu_seconds": 0.5}, "faster: formats/csv: tally, 1,000 rows: CPU 2.00 -> 1.50 s"),
        ({"seconds": 2.5}, "slower: formats/csv: tally, 1,000 rows: time 2.00 -> 2.50 times psql"),
        ({"seconds": 1.5}, "faster: formats/csv: tally, 1,000 rows: time 2.00 -> 1.50 times psql"),
        ({"peak_mb": 150.0}, "slower: formats/csv: tally, 1,000 rows: peak memory 100.00 -> 150.00 MB"),
    ],
)
def test_figure_beyond_the_tolerance_is_named(changed: dict[str, float], said: str) -> None:
    assert lines(**changed) == [said]


@pytest.mark.parametrize("changed", [{}, {"cpu_seconds": 1.4}, {"seconds": 2.4}, {"peak_mb": 119.0}])
def test_figure_within_the_tolerance_is_the_same(changed: dict[str, float]) -> None:
    assert lines(**changed) == []


def test_cpu_and_memory_of_another_machine_are_not_compared_but_the_ratio_is() -> None:
    found = lines(is_same_machine=False, cpu_seconds=9.0, peak_mb=900.0, seconds=3.0)
    assert found == ["slower: formats/csv: tally, 1,000 rows: time 2.00 -> 3.00 times psql"]


def test_ratio_to_another_base_is_not_compared() -> None:
    assert lines(base="adbc", seconds=9.0) == []


def test_case_of_another_size_is_named_and_not_compared() -> None:
    now = replace(KEPT, results=(replace(TALLY, size=2000, cpu_seconds=9.0),))
    found = [*compared(now, {KEPT.address: KEPT.facts()}, is_same_machine=True, tolerance=0.2)]
    assert found == ["formats/csv: not compared, because the kept figures are for 1,000 rows"]


def test_case_without_kept_figures_is_named() -> None:
    assert [*compared(KEPT, {}, is_same_machine=True, tolerance=0.2)] == ["formats/csv: no kept figures"]


def test_outcome_survives_the_way_through_json() -> None:
    assert outcome_of(KEPT.facts()) == KEPT


def grown(grows: str, *results: Result) -> list[str]:
    return [*growth(Outcome("growth/x", "load", "rows", grows, "tally", results))]


def test_linear_time_and_flat_memory_are_recognised() -> None:
    ten_times = replace(TALLY, size=10_000, cpu_seconds=10.0, server_cpu_seconds=10.0, peak_mb=110.0)
    process, postgres, memory = grown("linear", TALLY, ten_times)
    assert process.endswith("CPU of the process for further rows 1.00 times: linear")
    assert postgres.endswith("CPU of Postgres for further rows 1.00 times: linear")
    assert memory.endswith("1.10 times: flat")
    process, postgres, memory = grown("linear", TALLY, replace(ten_times, cpu_seconds=20.0, peak_mb=200.0))
    assert process.endswith("2.00 times: GROWS")
    assert postgres.endswith("1.00 times: linear")
    assert memory.endswith("2.00 times: GROWS")
    assert grown("linear", TALLY, replace(ten_times, server_cpu_seconds=20.0))[1].endswith("2.00 times: GROWS")


@pytest.mark.parametrize("user", ["cpu_seconds", "server_cpu_seconds"])
def test_start_of_a_run_does_not_hide_that_time_grows_faster_than_the_size(user: str) -> None:
    idle = replace(TALLY, cpu_seconds=0.0, server_cpu_seconds=0.0)
    sizes = [replace(idle, size=size) for size in (1000, 4000, 10_000)]
    place = ["cpu_seconds", "server_cpu_seconds"].index(user)
    start = [replace(one, **{user: 1 + one.size / 1000}) for one in sizes]  # type: ignore[arg-type]
    assert grown("linear", *start)[place].endswith("1.00 times: linear")
    squared = [replace(one, **{user: 1 + (one.size / 1000) ** 2 / 10}) for one in sizes]  # type: ignore[arg-type]
    assert grown("linear", *squared)[place].endswith("2.80 times: GROWS")


def test_noise_of_tiny_sizes_is_no_growth() -> None:
    noisy = ((1000, 10.0), (4000, 10.01), (10_000, 10.1))
    tiny = [replace(TALLY, size=size, cpu_seconds=seconds, server_cpu_seconds=0.0) for size, seconds in noisy]
    process, postgres, _ = grown("linear", *tiny)
    assert process.endswith("0.02 times: linear")
    assert postgres.endswith("0.00 times: linear")


def test_start_of_a_run_does_not_hide_the_cost_of_many_units_of_little_cost() -> None:
    """A company costs 7 microseconds, and the run without any of them as much as 300,000 companies."""
    runs = [replace(TALLY, size=size, cpu_seconds=2 + size * 7e-6) for size in (1_000, 100_000, 1_000_000)]
    assert grown("linear", *runs)[0].endswith("1.00 times: linear")
    dearer = [*runs[:2], replace(runs[2], cpu_seconds=2 * runs[2].cpu_seconds)]
    assert grown("linear", *dearer)[0].endswith("GROWS")


def test_workers_are_judged_by_their_gain_and_by_the_busy_cores() -> None:
    alone, pair = grown("divided", replace(TALLY, size=1, busy=0.5), replace(TALLY, size=2, seconds=1.0, busy=0.9))
    assert "1.00 times as fast as 1" in alone
    assert alone.endswith("cores are free")
    assert "2.00 times as fast as 1, Postgres uses 1.00 cores" in pair
    assert pair.endswith("the cores of this machine are the limit")


def test_addresses_and_contestants_of_cases_are_unique() -> None:
    cases = all_cases()
    assert len({case.address for case in cases}) == len(cases)
    for case in cases:
        names = [one.name for one in case.contestants]
        assert case.base in names
        assert any(one.is_own for one in case.contestants)
        assert len({*names}) == len(names)
