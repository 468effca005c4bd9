"""The end of a run: the state's name and the sentence that says what the run did.

A flow returns `Ended`, and the decorator `with_summary` turns it into the state that the run ends with:

    @flow(name="status")
    @with_summary
    def status() -> Ended[Status]:
        ...
        return Ended(found, "5 datasets; 1 needs attention")

A caller of the flow in the same process gets the result; a failed run raises its error for the caller.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast

from prefect import Flow, State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from tasks.connections import shared_connections
from tasks.engine.errors import StaleDataError, TallyError
from tasks.engine.masking import mask_errors
from tasks.engine.quoting import printable
from tasks.engine.receipts import BuildReceipt, ExportReceipt, LoadReceipt

P = ParamSpec("P")
R = TypeVar("R")

StateName = Literal["Completed", "Unchanged", "Skipped"]
"""Names of completed states: the run did its work, found everything already done, or found nothing to do."""

FailedName = Literal["Failed", "Stale"]
"""Names of failed states: the run failed, or the run found that data is not in the warehouse by its deadline."""

SUMMARY_LIMIT = 1_000
"""Maximum number of characters of a completed state's message."""


@dataclass(frozen=True)
class Ended(Generic[R]):
    """The end of a run.

    Attributes:
        result: What the flow returns to a caller in the same process.
        message: What the run did, in one line without personal data.
        name: Name of the completed state.
    """

    result: R
    message: str
    name: StateName = "Completed"


def with_summary(function: Callable[P, Ended[R]]) -> Callable[P, R]:
    """The second decorator of every flow: the run's state says what the run did, or why it failed.

    The message of a failed state is the message of the error. Outside of a run, the function returns the result or
    raises the error. The steps share their connections until the flow ends.
    """

    @functools.wraps(function)
    def ending(*args: P.args, **kwargs: P.kwargs) -> R:
        with shared_connections():
            if FlowRunContext.get() is None:
                return function(*args, **kwargs).result
            # Prefect uses a returned state as the final state, and gives the state's data to the caller.
            return cast("R", _state_of(lambda: function(*args, **kwargs), is_retried=_is_retried()))

    return ending


def run_inside(flow: Flow[..., Any], parameters: Mapping[str, Any]) -> State[Any]:
    """Run the steps of a flow as a part of the current run.

    Args:
        flow: A flow with the decorator `with_summary`.
        parameters: Its parameters, which are validated as for a run of its own.

    Returns:
        The state that a run of its own would end with.
    """
    function = inspect.unwrap(flow.fn)
    return _state_of(lambda: function(**flow.validate_parameters(dict(parameters))), is_retried=False)


def _state_of(run: Callable[[], Ended[Any]], *, is_retried: bool) -> State[Any]:
    try:
        ended = run()
    except Exception as error:
        mask_errors(error)
        if is_retried:
            raise  # Prefect runs a flow again only after an exception, not after a returned state
        get_run_logger().error("The run failed:", exc_info=error)
        return Failed(name=_name_of(error), message=error_text(error), data=error)
    return Completed(name=ended.name, message=printable(ended.message, SUMMARY_LIMIT), data=ended.result)


def _name_of(error: Exception) -> FailedName:
    return "Stale" if isinstance(error, StaleDataError) else "Failed"


def _is_retried() -> bool:
    """Whether Prefect may run the flow again after a failure. The flows of this project set no retries."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.empirical_policy.retries)


def error_text(error: BaseException) -> str:
    """The message of an error. An error of unknown origin also states its type."""
    text = str(error)
    return printable(text if isinstance(error, TallyError) and text else f"{type(error).__name__}: {text}")


def ended_with(
    result: R,
    loads: Sequence[LoadReceipt] = (),
    builds: Sequence[BuildReceipt] = (),
    exports: Sequence[ExportReceipt] = (),
) -> Ended[R]:
    """Describe a run that loads, builds and exports.

    The state is `Skipped` if the run found no object, table or file, and `Unchanged` if all of them were up to date.

    Args:
        result: What the flow returns.
        loads: Loads of the run.
        builds: Builds of the run.
        exports: Exported files of the run.
    """
    if not loads and not builds and not exports:
        return Ended(result, "nothing to do", "Skipped")
    parts = [*_loads(loads), *_done(builds, exports)]
    statuses = {*(x.status for x in loads), *(x.status for x in builds), *(x.status for x in exports)}
    is_changed = not statuses <= {"unchanged", "kept"}
    return Ended(result, "; ".join(parts), "Completed" if is_changed else "Unchanged")


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 table`, `5 tables`.

    Args:
        count: The number.
        one: The noun in the singular.
        many: The noun in the plural; empty for the singular with an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _loads(loads: Sequence[LoadReceipt]) -> list[str]:
    new = [load for load in loads if load.status in ("loaded", "replaced")]
    removed = sum(load.status == "removed" for load in loads)
    parts = []
    if new:
        read, loaded, rejected = (
            sum(counts) for counts in zip(*((x.rows_read, x.rows_loaded, x.rows_rejected) for x in new), strict=True)
        )
        parts.append(f"{read:,} read, {loaded:,} loaded, {rejected:,} rejected")
    if removed:
        parts.append(f"rows of {counted(removed, 'removed object')} deleted")
    if known := len(loads) - len(new) - removed:
        parts.append(f"{counted(known, 'object')} already loaded")
    return parts


def _done(builds: Sequence[BuildReceipt], exports: Sequence[ExportReceipt]) -> list[str]:
    built, exported = sum(x.status == "built" for x in builds), sum(x.status == "exported" for x in exports)
    done = [f"{counted(built, 'table')} built"] if built else []
    done += [f"{exported:,} exported"] if exported else []
    kept = [counted(len(builds) - built, "table")] if len(builds) > built else []
    kept += [counted(len(exports) - exported, "export")] if len(exports) > exported else []
    return [", ".join(done)] * bool(done) + [f"{' and '.join(kept)} up to date"] * bool(kept)
