"""Compare results with the last kept ones, and judge growth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measure import Outcome, Result, outcome_of

TOLERANCE = 0.2
"""The largest relative difference that counts as no change. Other work on the machine changes CPU by up to a fifth."""

FULL = 0.85
"""The share of busy cores from which more workers bring no gain."""

LEAST_CPU, LEAST_MB = 0.1, 20.0
"""Smaller differences in CPU seconds and in MB count as no change."""

_USERS: dict[str, Callable[[Result], float]] = {
    "the process": lambda result: result.cpu_seconds,
    "Postgres": lambda result: result.server_cpu_seconds,
}
"""Who uses CPU, each with the function that reads the CPU seconds of a result."""


def compared(outcome: Outcome, kept: Mapping[str, Any], *, is_same_machine: bool, tolerance: float) -> Iterator[str]:
    """Yield a line for each figure of Tally that is worse or better than the kept one.

    CPU time (of the process and of Postgres together) and peak memory count on the same machine only. The ratio to the
    base counts on every machine, because Tally and the base took turns on it.
    """
    if outcome.address not in kept:
        yield f"{outcome.address}: no kept figures"
        return
    earlier = outcome_of(kept[outcome.address])
    if not {*outcome.sizes} & {*earlier.sizes}:
        sizes = ", ".join(f"{size:,}" for size in earlier.sizes)
        yield f"{outcome.address}: not compared, because the kept figures are for {sizes} {outcome.unit}"
    for result in outcome.results:
        then = earlier.find(result.name, result.size)
        if not result.is_own or then is None:
            continue
        where = f"{outcome.address}: {result.name}, {result.size:,} {outcome.unit}"
        if is_same_machine:
            yield from _change(where, "CPU", then.all_cpu_seconds, result.all_cpu_seconds, "s", LEAST_CPU, tolerance)
            yield from _change(where, "peak memory", then.peak_mb, result.peak_mb, "MB", LEAST_MB, tolerance)
        now_ratio, then_ratio = outcome.ratio(result), earlier.ratio(then)
        if now_ratio and then_ratio and outcome.base == earlier.base:
            unit = f"times {outcome.base}"
            yield from _change(where, "time", then_ratio, now_ratio, unit, 0.0, tolerance)


def _change(where: str, what: str, then: float, now: float, unit: str, least: float, tolerance: float) -> Iterator[str]:
    if now > then * (1 + tolerance) and now - then > least:
        yield f"slower: {where}: {what} {then:.2f} -> {now:.2f} {unit}"
    elif then > now * (1 + tolerance) and then - now > least:
        yield f"faster: {where}: {what} {then:.2f} -> {now:.2f} {unit}"


def growth(outcome: Outcome, tolerance: float = TOLERANCE) -> Iterator[str]:
    """Yield two lines on the CPU and one on the memory of each contestant of a case with several sizes."""
    if len(outcome.sizes) < 2:
        return
    if outcome.grows == "divided":
        yield from _shares(outcome)
        return
    for name in dict.fromkeys(result.name for result in outcome.results):
        found = [result for result in outcome.results if result.name == name]
        where = f"{outcome.address}: {name}, {found[0].size:,} to {found[-1].size:,} {outcome.unit}"
        for user, seconds_of in _USERS.items():
            times = _times(found, seconds_of)
            verdict = "linear" if times <= 1 + tolerance else "GROWS"
            yield f"{where}: CPU of {user} for further {outcome.unit} {times:.2f} times: {verdict}"
        memory = found[-1].peak_mb / found[0].peak_mb
        yield f"{where}: peak memory {memory:.2f} times: {'flat' if memory <= 1 + tolerance else 'GROWS'}"


def _shares(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each number of workers: how much faster they are, and what limits them."""
    alone = outcome.results[0]
    for result in outcome.results:
        cores = result.server_cpu_seconds / result.seconds
        limit = "the cores of this machine are the limit" if result.busy >= FULL else "cores are free"
        yield (
            f"{outcome.address}: {result.size} {outcome.unit}: {alone.seconds / result.seconds:.2f} times as fast as"
            f" {alone.size}, Postgres uses {cores:.2f} cores, {result.busy:.0%} of all cores are busy: {limit}"
        )


def _times(found: Sequence[Result], seconds_of: Callable[[Result], float]) -> float:
    """Return the CPU of a unit in the last growth step, divided by the CPU of a unit in the first growth step.

    The differences between sizes leave out the fixed cost of a run, which would hide that the time grows faster than
    the size. A first difference below a fifth of the CPU of the smallest run is noise; the fifth then replaces it. With
    two sizes only, the function compares the whole runs.
    """
    first, second, last = found[0], found[1], found[-1]
    least = first.all_cpu_seconds / 5
    if second is last:
        return seconds_of(last) / last.size / (max(seconds_of(first), least) / first.size)
    early = max(seconds_of(second) - seconds_of(first), least) / (second.size - first.size)
    return (seconds_of(last) - seconds_of(second)) / (last.size - second.size) / early
