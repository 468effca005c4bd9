"""The doctor's report: problems first, no secret, one line of commands for each line to paste."""

from collections.abc import Iterator

import pytest

from tasks.engine.doctor.outcomes import (
    Check,
    Finding,
    Result,
    all_skipped,
    counted,
    examine,
    guarded,
    ok,
    problem,
    skipped,
    warning,
)
from tasks.engine.doctor.report import has_failed, masked, summary, terminal_text
from tasks.engine.doctor.secrets import secret_kinds, texts_of
from tasks.engine.errors import WarehouseError

PASSED, SKIPPED = ok("the state"), skipped("the reason")
WARNED = warning("slow", "fast", "make it fast")
BROKEN = problem("pass-word-1 found", "expected", "first command\nsecond   command " + "x" * 200)


def results(*findings: Finding) -> list[Result]:
    return [Result("Area", f"check {number}", finding) for number, finding in enumerate(findings)]


def test_report_begins_with_what_needs_attention() -> None:
    text = terminal_text(results(PASSED, SKIPPED, WARNED, BROKEN))
    assert text.startswith("Doctor: 1 problem, 1 warning, 1 check not applicable, 1 check passed.\n")
    assert text.index("PROBLEM  Area: check 3") < text.index("WARNING  Area: check 2") < text.index("NOT APPLICABLE")
    assert text.endswith("OK              Area: check 0")
    assert "the state" not in text
    assert "OK              Area: check 0: the state" in terminal_text(results(PASSED), is_full=True)


def test_commands_keep_their_lines_so_that_they_can_be_pasted() -> None:
    assert "  next      first command\n            second   command " + "x" * 200 in terminal_text(results(BROKEN))


@pytest.mark.parametrize(
    ("findings", "words", "is_failed"),
    [
        ([], "no problem", False),
        ([PASSED, PASSED], "no problem, 2 checks passed", False),
        ([WARNED], "no problem, 1 warning", False),
        ([BROKEN, BROKEN], "2 problems", True),
        ([Finding("unknown", "x")], "1 check failed to run", True),
    ],
)
def test_summary_decides_the_exit_status(findings: list[Finding], words: str, is_failed: bool) -> None:
    assert summary(results(*findings)) == words
    assert has_failed(results(*findings)) == is_failed


def test_no_text_of_a_finding_keeps_a_secret() -> None:
    leaky = problem("pass-word-1", "pass-word-12", "echo pass-word-1")
    (found,) = masked(results(leaky), ["pass-word-1", "pass-word-12", "x"])
    assert (found.finding.found, found.finding.expected) == ("(secret)", "(secret)")
    assert found.finding.next_step == "echo (secret)"
    assert masked(results(leaky), []) == results(leaky)


def test_error_of_one_check_ends_no_other() -> None:
    def fails(_: None) -> Iterator[Finding]:
        yield PASSED
        raise WarehouseError("no such table")

    def returns_nothing(_: None) -> Iterator[Finding]:
        yield from ()

    checks = (Check("one", fails), Check("two", returns_nothing), Check("three", lambda _: [PASSED]))
    outcomes = [(each.check, each.finding.outcome) for each in examine("Area", checks, None)]
    assert outcomes == [("one", "unknown"), ("two", "unknown"), ("three", "ok")]
    (found,) = guarded("Area", lambda: [Result("Area", "x", next(fails(None))), *examine_nothing()])
    assert (found.check, found.finding.outcome) == ("all checks", "unknown")
    assert "could not be checked: RuntimeError: broken" in found.finding.found
    assert "one, two, three" in all_skipped("Area", checks, "x")[0].finding.found


def examine_nothing() -> list[Result]:
    raise RuntimeError("broken")


def test_number_has_its_noun() -> None:
    assert [counted(1, "run"), counted(0, "run"), counted(1_000, "run")] == ["1 run", "0 runs", "1,000 runs"]
    assert counted(2, "run waits", "runs wait") == "2 runs wait"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("postgresql://tally:secret@host/db", ["a URL with a password"]),
        ("postgresql://tally:****@host/db", []),
        ("postgresql://tally@host/db", []),
        ("http://127.0.0.1:4200/api", []),
        ("host=x password=abc", ["a password"]),
        ("AKIAIOSFODNN7EXAMPLE", ["an AWS key id"]),
        ("-----BEGIN PRIVATE KEY-----", ["a private key"]),
        ("x known-value y", ["the known one"]),
        ("short", []),
        ("", []),
    ],
)
def test_secrets_are_found_by_value_and_by_pattern(text: str, kinds: list[str]) -> None:
    assert secret_kinds(text, {"known-value": "the known one", "short": "too short to search for"}) == kinds


def test_every_text_of_a_nested_value_is_searched() -> None:
    nested = {"a": ["x", {"b": "y"}], "c": None, "d": 3}
    assert {("a.0", "x"), ("a.1.b", "y"), ("key", "a")} <= set(texts_of(nested))
