"""Find the pipelines that a backfill can run: the flow modules that declare a `PIPELINE`."""

import importlib
from types import ModuleType

from tasks.engine.declarations import declaring_modules
from tasks.engine.errors import BackfillError
from tasks.partition_runs import Pipeline

NAME = "PIPELINE"


def find_pipelines(package: ModuleType) -> tuple[Pipeline, ...]:
    """Import the modules of a package that assign `PIPELINE`, and return the pipelines in the order of their modules.

    Other modules are not imported, because a flow may import large libraries.

    Raises:
        BackfillError: A `PIPELINE` is not a `Pipeline`.
    """
    return tuple(_pipeline_of(f"{package.__name__}.{name}") for name in declaring_modules(package, NAME))


def _pipeline_of(module: str) -> Pipeline:
    found = getattr(importlib.import_module(module), NAME)
    if not isinstance(found, Pipeline):
        raise BackfillError(f"{module}.{NAME}: expected a Pipeline, found {type(found).__name__}. Correct the module")
    return found
