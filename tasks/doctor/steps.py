"""Examine an installation, and report what was found."""

from collections.abc import Sequence

from prefect.logging import get_run_logger

from tasks.doctor.installation import examine_installation
from tasks.engine.doctor.outcomes import Result
from tasks.engine.doctor.report import LABELS, has_failed, ordered, summary
from tasks.engine.errors import InstallationError
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import markdown_table


@step(task_run_name="check_installation")
def check_installation() -> list[Result]:
    """Run every check that this process can run."""
    return examine_installation()


@step(task_run_name="report_installation")
def report_installation(results: Sequence[Result]) -> str:
    """Publish the findings, log those that need attention, and return the summary.

    Raises:
        InstallationError: A check found a problem, or could not run.
    """
