"""Findings of the doctor's checks, for tests."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from tasks.engine.doctor.outcomes import Finding, Outcome

Subject = TypeVar("Subject")


def only(findings: Iterable[Finding], outcome: Outcome) -> Finding:
    """Return the only finding, after a check of its outcome and of the texts that a reader needs."""
    (found,) = findings
    assert found.outcome == outcome, found
    assert found.found
    if outcome in {"problem", "warning"}:
        assert found.expected
        assert found.next_step
    return found


def outcome_of(check: Callable[[Subject], Iterable[Finding]], subject: Subject) -> Outcome:
    """The outcome of a check with one finding."""
    (found,) = check(subject)
    return found.outcome
