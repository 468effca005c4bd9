"""The steps of the flow: examine the installation, and report what was found."""

from collections.abc import Iterator, Sequence

from prefect.logging import get_run_logger

from tasks.doctor.installation import examine_installation
from tasks.engine.doctor.outcomes import OUTCOMES, Result
from tasks.engine.doctor.report import HEADINGS, has_failed, ordered, summary
from tasks.engine.errors import InstallationError
from tasks.engine.export.markdown_tables import markdown_table
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended


@step(task_run_name="Check the installation")
def check_installation() -> list[Result]:
    """Run every check that this process can run."""
    return examine_installation()


@step(task_run_name="Report the installation")
def report_installation(results: Sequence[Result]) -> None:
    """Publish all findings as an artifact, and log those that need attention."""
    logger = get_run_logger()
    for result in ordered(results):
        finding = result.finding
        if finding.outcome in {"problem", "unknown", "warning"}:
            text = " | ".join(filter(None, (finding.found, finding.expected, finding.next_step.replace("\n", "; "))))
            logger.warning("%s: %s: %s", result.area, result.check, text)
    publish_markdown("\n\n".join(report_parts(results)), key="doctor", description=f"Doctor: {summary(results)}")


def report_parts(results: Sequence[Result]) -> Iterator[str]:
    """The report in Markdown: the answer first, then a table for each outcome."""
    yield f"# Doctor: {summary(results)}"
    for outcome in OUTCOMES:
        rows = [result for result in results if result.finding.outcome == outcome]
        if not rows:
            continue
        yield f"## {HEADINGS[outcome]}"
        if outcome in {"ok", "skipped"}:
            cells = [(x.area, x.check, "; ".join(filter(None, (x.finding.found, x.finding.next_step)))) for x in rows]
            yield markdown_table(["area", "check", "found"], cells)
            continue
        for each in rows:
            finding = each.finding
            facts = [("found", finding.found), ("expected", finding.expected)]
            yield f"### {each.area}: {each.check}"
            yield markdown_table(["", ""], [fact for fact in facts if fact[1]])
            if finding.next_step:
                yield f"Next step:\n\n```\n{finding.next_step}\n```"


def ended_doctor(results: Sequence[Result]) -> Ended[list[Result]]:
    """The end of a run.

    Raises:
        InstallationError: A check found a problem, or could not run.
    """
    if has_failed(results):
        first = next(result for result in ordered(results))
        raise InstallationError(
            f"{summary(results)}. First: {first.area}: {first.check}: {first.finding.found}. The artifact `doctor`"
            " lists all findings with their next steps"
        )
    return Ended(list(results), summary(results))
