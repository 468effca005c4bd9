"""Run steps side by side, each in its own task run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prefect.context import FlowRunContext
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task
from prefect.utilities.annotations import opaque

R = TypeVar("R")


def run_side_by_side(step: Task[Any, R], calls: Iterable[Mapping[str, Any]], at_once: int) -> list[R | Exception]:
    """Run a step once for each set of arguments, and wait for all runs even if some fail.

    Outside a flow run, such as in a notebook, the steps run one after another.

    Args:
        step: The step.
        calls: The arguments of each run, by name.
        at_once: Maximum number of concurrent runs. One: the runs use the thread of the caller.

    Returns:
        The result or the error of each run, in the order of the calls.
    """
    if at_once == 1 or FlowRunContext.get() is None:
        return [_outcome(cast("Callable[..., R]", step), call) for call in calls]
    with ThreadPoolTaskRunner[Any](max_workers=at_once) as runner:
        futures = [runner.submit(step, {name: opaque(value) for name, value in call.items()}) for call in calls]
        for future in futures:
            future.wait()
        states = [future.state for future in futures]
    return [cast("R | Exception", state.result(raise_on_failure=False)) for state in states]


@contextmanager
def beside(step: Task[Any, Any], **call: Any) -> Iterator[None]:
    """Run a step while the body of the `with` statement runs, and wait for both, even if one fails.

    Outside a flow run, such as in a notebook, the step runs first.

    Args:
        step: The step.
        call: The arguments of its run, by name.

    Raises:
        Exception: The error of the body; without one, the error of the step.
    """
    if FlowRunContext.get() is None:
        cast("Callable[..., Any]", step)(**call)
        yield
        return
    with ThreadPoolTaskRunner[Any](max_workers=1) as runner:
        future = runner.submit(step, {name: opaque(value) for name, value in call.items()})
        try:
            yield
        finally:
            future.wait()  # after an error, the end of the runner would cancel a step that has not begun
    future.state.result()


def _outcome(step: Callable[..., R], call: Mapping[str, Any]) -> R | Exception:
    """The result of a step or its error."""
    try:
        return step(**call)
    except Exception as error:  # the caller decides about the errors of all runs together
        return error
