"""The report of the doctor, as text for a terminal. What needs attention comes first."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tasks.engine.doctor.outcomes import OUTCOMES, Outcome, Result

WIDTH = 110
_WORDS: dict[Outcome, tuple[str, str]] = {
    "problem": ("problem", "problems"),
    "unknown": ("check failed to run", "checks failed to run"),
    "warning": ("warning", "warnings"),
    "skipped": ("check not applicable", "checks not applicable"),
    "ok": ("check passed", "checks passed"),
}
LABELS: dict[Outcome, str] = {
    "problem": "PROBLEM",
    "unknown": "NOT CHECKED",
    "warning": "WARNING",
    "skipped": "NOT APPLICABLE",
    "ok": "OK",
}
HEADINGS: dict[Outcome, str] = {
    "problem": "Problems",
    "unknown": "Checks that failed to run",
    "warning": "Warnings",
    "skipped": "Not applicable",
    "ok": "Passed",
}
MASK = "(secret)"
SHORTEST_SECRET = 6
"""Shorter values are not removed from texts, because they occur in words by chance."""


def has_failed(results: Iterable[Result]) -> bool:
    """Whether a check found a problem or could not run."""
    return any(result.finding.outcome in {"problem", "unknown"} for result in results)


def summary(results: Sequence[Result]) -> str:
    """One sentence with the number of findings of each outcome."""
    counts = Counter(result.finding.outcome for result in results)
    parts = [f"{counts[outcome]} {_WORDS[outcome][counts[outcome] != 1]}" for outcome in OUTCOMES if counts[outcome]]
    if not has_failed(results):
        parts.insert(0, "no problem")
    return ", ".join(parts)


def ordered(results: Iterable[Result]) -> list[Result]:
    """The results with problems first; results of one outcome keep their order."""
    return sorted(results, key=lambda result: OUTCOMES.index(result.finding.outcome))


def masked(results: Iterable[Result], secrets: Iterable[str]) -> list[Result]:
    """The results without the values of secrets."""
    values = sorted({value for value in secrets if len(value) >= SHORTEST_SECRET}, key=len, reverse=True)
    if not values:
        return list(results)
    pattern = re.compile("|".join(map(re.escape, values)))

    def clean(text: str) -> str:
        return pattern.sub(MASK, text)

    return [
        replace(
            result,
            finding=replace(
                result.finding,
                found=clean(result.finding.found),
                expected=clean(result.finding.expected),
                next_step=clean(result.finding.next_step),
            ),
        )
        for result in results
    ]


def terminal_text(results: Sequence[Result], *, is_full: bool = False) -> str:
    """The report for a terminal.

    Args:
        results: The results.
        is_full: Whether to print each passed check with what it found, and not only its name.
    """
    lines = list(_attention(results))
    short = [result for result in results if result.finding.outcome in {"skipped", "ok"}]
    lines += _full(ordered(short)) if is_full else _names(short)
    return "\n".join([f"Doctor: {summary(results)}.", "", *lines])


def _attention(results: Sequence[Result]) -> Iterator[str]:
    """What needs attention: a paragraph for each finding."""
    for result in ordered(results):
        finding = result.finding
        if finding.outcome in {"skipped", "ok"}:
            continue
        yield f"{LABELS[finding.outcome]}  {result.area}: {result.check}"
        for label, text in (("found", finding.found), ("expected", finding.expected), ("next", finding.next_step)):
            if text:
                yield from _wrapped(f"  {label:<9} ", text, indent=12, is_literal=label == "next")
        yield ""


def _full(results: Iterable[Result]) -> Iterator[str]:
    for result in results:
        finding = result.finding
        yield from _wrapped(f"{LABELS[finding.outcome]:<15} {result.area}: {result.check}: ", finding.found, indent=16)
        if finding.next_step:
            yield from _wrapped(" " * 16, finding.next_step, indent=16)


def _names(results: Iterable[Result]) -> Iterator[str]:
    """Only the names of checks, one paragraph for each outcome and area."""
    names: dict[tuple[Outcome, str], list[str]] = {}
    for result in ordered(results):
        names.setdefault((result.finding.outcome, result.area), []).append(result.check)
    for (outcome, area), checks in names.items():
        yield from _wrapped(f"{LABELS[outcome]:<15} {area}: ", ", ".join(checks), indent=16)


def _wrapped(begin: str, text: str, *, indent: int, is_literal: bool = False) -> Iterator[str]:
    """Lines of a text with a hanging indent. A literal text keeps its lines, so that commands can be pasted."""
    pad = " " * indent
    for number, line in enumerate(text.splitlines() or [""]):
        first = begin if number == 0 else pad
        if is_literal:
            yield f"{first}{line}"
        else:
            yield from textwrap.wrap(
                line,
                WIDTH,
                initial_indent=first,
                subsequent_indent=pad,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [first.rstrip()]
