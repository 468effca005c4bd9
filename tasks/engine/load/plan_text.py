"""The plan of a load in words: single lines for the log, and a page for a terminal."""

import textwrap
from collections.abc import Iterator

from tasks.engine.load.planned import ObjectPlan, Plan
from tasks.engine.load.sample_check import Problem, SampleCheck
from tasks.engine.quoting import printable

WIDTH = 100
"""Width of the page in characters."""

PAGE_LIMIT = 200_000


def outcome(planned: ObjectPlan) -> str:
    """Describe what a load would do with an object."""
    if planned.would_fail:
        return "the load would fail"
    if planned.action == "nothing":
        return "already loaded: would be skipped"
    return "would be loaded" if planned.action == "load" else f"would replace {planned.rows_replaced:,} rows"


def drift(planned: ObjectPlan) -> Iterator[str]:
    """Describe the differences between an object's columns and the contract's, one a line, then the expected error."""
    for column in planned.columns:
        if column.state == "aliased":
            yield f"column {column.source} is delivered as {column.found}"
        elif column.state != "matched":
            yield f"column {column.source} is {column.state}"
    if planned.is_reordered:
        yield "the columns are in another order"
    for name in planned.unknown:
        yield f"column {name} is unknown"
    if planned.error:
        yield planned.error


def removal_lines(plan: Plan) -> Iterator[str]:
    """Describe the loaded objects that the supplier removed from a partition, one a line."""
    for uri, rows in plan.removed:
        yield f"{uri} was removed by the supplier: the load would delete its {rows:,} rows"


def checked_rows(check: SampleCheck) -> str:
    """Describe which rows a check read, and how many of them a load would reject."""
    if check.is_whole:
        read = f"all {check.first_rows:,} rows"
    elif check.middle_rows:
        read = f"the first {check.first_rows:,} rows and {check.middle_rows:,} rows from the middle"
    else:
        read = f"the first {check.first_rows:,} rows"
    found = f"{check.rows_rejected:,} would be rejected" if check.rows_rejected else "none would be rejected"
    return f"Checked {read}: {found}"


def budget_line(check: SampleCheck) -> str:
    """Compare the rejected rows of the whole object with its error budget."""
    about = "" if check.is_whole else "about "
    total = f"{about}{check.rejected_total:,} of {about}{check.row_total:,} rows would be rejected"
    verdict = "more than the error budget" if check.would_fail else "within the error budget"
    return f"In the whole object, {total}: {verdict} of {check.allowed:,} (MAX_REJECTED_ROWS, MAX_REJECTED_SHARE)."


def problem_lines(planned: ObjectPlan) -> Iterator[str]:
    """Describe the rows that a load would reject, one cause a line."""
    for each in planned.check.problems if planned.check else ():
        yield f"{_cause(each)}, for example {'; '.join(each.examples)}" + _suggested(each)


def _cause(problem: Problem) -> str:
    if problem.column is None:
        return f"{problem.row_count:,} malformed records: {problem.expected}"
    return f"column {problem.column}, {problem.row_count:,} rows: expected {problem.expected}"


def _suggested(problem: Problem) -> str:
    return f". Suggestion: {problem.suggestion}" if problem.suggestion else ""


def terminal_text(plan: Plan) -> str:
    """The plan for a terminal that is 100 characters wide."""
    return printable("\n".join(_page(plan)), PAGE_LIMIT)


def _page(plan: Plan) -> Iterator[str]:
    yield from _wrapped(f"Plan of {plan.dataset}, table {plan.table}", 0)
    if not plan.objects:
        yield "  no object: nothing to plan"
    for planned in plan.objects:
        yield ""
        yield from _wrapped(f"{planned.source.uri}, {planned.source.size_bytes:,} bytes: {outcome(planned)}", 0)
        for line in drift(planned):
            yield from _wrapped(line, 2)
        if planned.check:
            yield from _check_lines(planned.check)
    for line in removal_lines(plan):
        yield ""
        yield from _wrapped(line, 0)
    yield from _tables(plan)
    yield ""
    yield "This plan changed nothing."


def _check_lines(check: SampleCheck) -> Iterator[str]:
    yield from _wrapped(checked_rows(check) + ".", 2)
    if check.rows_rejected:
        yield from _wrapped(budget_line(check), 2)
    for problem in check.problems:
        yield ""
        yield from _wrapped(_cause(problem), 2)
        for example in problem.examples:
            yield from _wrapped(f"found {example}", 4)
        if problem.suggestion:
            yield from _wrapped(f"suggestion: {problem.suggestion}", 4)


def _tables(plan: Plan) -> Iterator[str]:
    if plan.created:
        yield ""
        yield from _wrapped(f"The load would create {', '.join(plan.created)}.", 0)
    shown = [text for text in plan.statements if not text.startswith("COMMENT ")]
    comments = len(plan.statements) - len(shown)
    more = f" {comments:,} comments and" if comments else ""
    for title, lines in (
        (f"The DDL step would execute{more}:", shown),
        ("The DDL step would refuse, and the run would fail:", plan.drift),
    ):
        if lines:
            yield from ("", title)
            yield from (f"  {line}" for text in lines for line in text.splitlines())


def _wrapped(text: str, indent: int) -> list[str]:
    """Break a text into lines. A word that is longer than a line stays whole, so that it can be copied."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
