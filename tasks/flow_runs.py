"""The decorator of every flow: Prefect's, but a run in the process of its caller sends no heartbeats.

Heartbeats let the Prefect server notice that the process of a deployed run died. The caller of a flow notices this
itself. Prefect's thread for heartbeats sleeps in whole seconds, and the end of each run waits for the thread.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.context import SettingsContext, get_settings_context

P = ParamSpec("P")
R = TypeVar("R")


class _CalledFlow(Flow[P, R]):
    """A flow whose calls send no heartbeats. The engine of a deployed run does not call the flow."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _without_heartbeats():
            return super().__call__(*args, **kwargs)

    def with_options(self, **options: Any) -> Flow[P, R]:
        changed = super().with_options(**options)
        changed.__class__ = type(self)  # Prefect makes a plain flow
        return changed


def flow(*, name: str, flow_run_name: str | Callable[[], str]) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """The first decorator of every flow.

    Args:
        name: Name of the flow and of its deployment.
        flow_run_name: Name of each run with the parameters in braces, or a function that returns the name.
    """
    return lambda function: _CalledFlow(function, name=name, flow_run_name=flow_run_name)


@contextmanager
def _without_heartbeats() -> Iterator[None]:
    current = get_settings_context()
    # `temporary_settings` validates all settings again, which takes 40 ms.
    flows = current.settings.flows.model_copy(update={"heartbeat_frequency": None})
    with SettingsContext(profile=current.profile, settings=current.settings.model_copy(update={"flows": flows})):
        yield
