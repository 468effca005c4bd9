"""Run a flow in this process without a Prefect server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from prefect import Flow
from prefect.logging import disable_run_logger

from tasks import alerts, prefect_texts
from tasks.policy import Step


def run_here(flow: Flow[Any, Any], **parameters: Any) -> Any:
    """Run the steps of a flow one after the other, without a Prefect server between them.

    The steps do all their work. Only their log lines, artifacts and events are lost, and no step is retried.

    Args:
        flow: The flow.
        parameters: Its parameters, which are validated as for a run.

    Returns:
        What the flow returns to a caller in the same process.
    """
    with without_server():
        return flow.fn(**flow.validate_parameters(parameters))


@contextmanager
def without_server() -> Iterator[None]:
    """Run the steps that the block calls without a Prefect server."""

    def call(step: Step[Any, Any], *arguments: Any, **named: Any) -> Any:
        return step.fn(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, disable_run_logger():
        patch.setattr(Step, "__call__", call)
        for name in ("create_markdown_artifact", "create_table_artifact", "update_progress_artifact"):
            patch.setattr(prefect_texts, name, lambda *_, **__: None)
        patch.setattr(alerts, "emit_event", lambda *_, **__: None)
        patch.setattr(prefect_texts, "create_progress_artifact", lambda *_, **__: uuid4())
        yield
