"""Checks and their findings. One check that fails never prevents the others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import psycopg

from tasks.engine.errors import TallyError, translate
from tasks.engine.quoting import printable

Outcome = Literal["problem", "unknown", "warning", "skipped", "ok"]
OUTCOMES: tuple[Outcome, ...] = ("problem", "unknown", "warning", "skipped", "ok")
"""All outcomes, in the order of a report: `unknown` is a check that an error ended, `skipped` a check that does not
apply here."""

TEXT_LIMIT = 2_000
"""Maximum number of characters of one text of a finding."""

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        outcome: See `OUTCOMES`.
        found: The state of the installation; for `skipped` and `unknown`, the reason.
        expected: The state that the check expects, with the reason. Empty if all is well.
        next_step: What to do, if possible a command to paste. Empty if there is nothing to do.
    """

    outcome: Outcome
    found: str
    expected: str = ""
    next_step: str = ""


def ok(found: str) -> Finding:
    """All is well."""
    return Finding("ok", found)


def problem(found: str, expected: str, next_step: str) -> Finding:
    """Something is wrong: runs fail, rows are at risk, or a secret is visible."""
    return Finding("problem", found, expected, next_step)


def warning(found: str, expected: str, next_step: str) -> Finding:
    """Runs work, but something costs speed or safety."""
    return Finding("warning", found, expected, next_step)


def skipped(reason: str, next_step: str = "") -> Finding:
    """The check does not apply, or cannot run here."""
    return Finding("skipped", reason, "", next_step)


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One check.

    Attributes:
        name: What is checked, in a few words.
        run: Examines a subject. The first finding names the state; further findings name further problems.
    """

    name: str
    run: Callable[[Subject], Iterable[Finding]]


@dataclass(frozen=True)
class Result:
    """One finding of one check.

    Attributes:
        area: What the check belongs to, such as `Warehouse`.
        check: Name of the check.
        finding: What the check found.
    """

    area: str
    check: str
    finding: Finding


def examine(area: str, checks: Iterable[Check[Subject]], subject: Subject) -> list[Result]:
    """Run checks. An error ends only its own check, which then has the outcome `unknown`."""
    return [
        Result(area, check.name, finding) for check in checks for finding in _findings(check, subject, f"{area} check")
    ]


def _findings(check: Check[Subject], subject: Subject, where: str) -> Sequence[Finding]:
    try:
        findings = list(check.run(subject))
    except Exception as error:
        return [failed(error, f"{where} {check.name}")]
    return findings or [Finding("unknown", "the check returned nothing", "", "Report this as an error of Tally")]


def guarded(area: str, examination: Callable[[], list[Result]]) -> list[Result]:
    """The results of one area. An error in the preparation of its checks ends only this area."""
    try:
        return examination()
    except Exception as error:
        return [Result(area, "all checks", failed(error, area))]


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun, such as `1 run` or `2 runs`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def failed(error: Exception, where: str) -> Finding:
    """The finding of a check that an error ended."""
    known = translate(error, where) or error
    text = str(known) if isinstance(known, TallyError) else f"{type(error).__name__}: {error}"
    step = "Resolve the error, then run the doctor again"
    if isinstance(known.__cause__ or error, psycopg.errors.InsufficientPrivilege):
        step = "Run the doctor with a role that has this right, for example with the DSN of the owner"
    return Finding("unknown", f"could not be checked: {printable(text, TEXT_LIMIT)}", "", step)


def all_skipped(area: str, checks: Iterable[Check[Subject]], reason: str) -> list[Result]:
    """One result for checks that cannot run because something else failed."""
    names = ", ".join(check.name for check in checks)
    return [Result(area, "further checks", skipped(f"not checked, because {reason}: {names}"))]
