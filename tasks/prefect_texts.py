"""Texts that a Prefect server stores: artifacts, log lines and run names, made printable and bounded.

A server on Postgres refuses a text with NUL, and then the run has no state and no artifact.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging.formatters import JsonFormatter
from prefect.logging.handlers import PrefectConsoleHandler

from tasks.engine.quoting import MESSAGE_LIMIT, printable, shown

REPORT_LIMIT = 500_000
"""Maximum number of characters of a report with its charts."""

TRACEBACK_LIMIT = 30_000
NAME_LIMIT = 250
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
"""Every log line of a run passes one of these loggers, including the lines that Prefect writes."""


def publish_markdown(text: str, *, key: str, description: str) -> None:
    """Publish a Markdown artifact."""
    create_markdown_artifact(printable(text, REPORT_LIMIT), key=key, description=shown(description, NAME_LIMIT))


def publish_table(rows: Sequence[Mapping[str, str | int]], *, key: str, description: str) -> None:
    """Publish a table artifact; each cell is one line."""
    cells = [
        {name: shown(cell, NAME_LIMIT) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows
    ]
    create_table_artifact(cells, key=key, description=shown(description, NAME_LIMIT))


def start_progress(percent: float, description: str, *, key: str | None = None) -> UUID:
    """Publish a progress artifact, and return its id."""
    artifact: Any = create_progress_artifact(percent, key=key, description=shown(description, NAME_LIMIT))
    return UUID(str(artifact))


def show_progress(artifact: UUID, percent: float, description: str) -> None:
    """Update a progress artifact."""
    update_progress_artifact(artifact, percent, shown(description, NAME_LIMIT))


def run_name(template: str) -> Callable[..., str]:
    """Return the function that names a task's runs.

    Args:
        template: The name, with the task's parameters in braces.
    """

    def name_of(parameters: Mapping[str, Any]) -> str:
        given = {name: "" if value is None else value for name, value in parameters.items()}
        return shown(template.format(**given).strip(), NAME_LIMIT)

    return name_of


class _Printable(logging.Filter):
    """Makes a record's message and traceback printable; drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage(), MESSAGE_LIMIT), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = printable(logging.Formatter().formatException(record.exc_info), TRACEBACK_LIMIT)
        return True


def clean_run_logs(*, is_json: bool = False) -> None:
    """Make the log lines of all runs of this process printable; a second call changes nothing.

    Args:
        is_json: Whether the process writes each log line as one JSON object, in place of a text for a terminal.
    """
    if is_json:
        _write_json(["", "prefect", *LOGGERS])
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Printable) for known in logger.filters):
            logger.addFilter(_Printable())


def _write_json(names: Sequence[str]) -> None:
    for logger in map(logging.getLogger, names):
        for handler in [one for one in logger.handlers if isinstance(one, PrefectConsoleHandler)]:
            plain = logging.StreamHandler()
            plain.setLevel(handler.level)
            plain.setFormatter(JsonFormatter("default", "", "%"))
            logger.removeHandler(handler)
            logger.addHandler(plain)
