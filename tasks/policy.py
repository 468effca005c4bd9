"""The retry policy of all tasks: transient errors are retried with backoff and jitter, other errors never."""

import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from prefect.utilities.annotations import opaque

from tasks.connections import forget_connections
from tasks.engine.errors import SettingsError, is_transient, printable_error
from tasks.engine.masking import mask_errors
from tasks.engine.settings import RunSettings, read_run
from tasks.prefect_texts import clean_run_logs, run_name


async def should_retry(task_: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether the error of a try is transient."""
    del task_, run
    try:
        await state.aresult(raise_on_failure=True)
    except Exception as error:
        return is_transient(error)
    return False


P = ParamSpec("P")
R = TypeVar("R")


class Step(Task[P, R]):
    """A task in whose arguments Prefect looks for no futures. The search would visit all fields of a contract."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task with each argument marked as opaque."""
        call: Any = super().__call__
        options = {name: kwargs.pop(name) for name in ("return_state", "wait_for") if name in kwargs}
        return call(*map(opaque, args), **{name: opaque(value) for name, value in kwargs.items()}, **options)


def step(task_run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """The decorator of every task.

    Every task has an effect outside of Prefect, so Prefect never takes its result from a cache and does not store it.
    The name, the log lines and the error message of a task are printable and bounded.

    Args:
        task_run_name: Name of the task run, with the task's parameters in braces.
    """
    settings = _process_settings()
    clean_run_logs(is_json=settings.log_format == "json")
    return lambda function: Step(
        _with_printable_errors(function),
        task_run_name=run_name(task_run_name),
        retries=settings.retry_count,
        retry_delay_seconds=list[float](settings.delays),
        retry_jitter_factor=0.5,
        retry_condition_fn=should_retry,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def _process_settings() -> RunSettings:
    """The settings of this process. The first step that reads its settings reports an invalid setting."""
    try:
        return read_run(os.environ)
    except SettingsError:
        return RunSettings()


def _with_printable_errors(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            forget_connections()
            mask_errors(error)
            replacement = printable_error(error, function.__name__)
            if replacement is None:
                raise
            raise replacement from error

    return guarded
