"""Find the pipelines that a backfill can run: the flow modules that declare a `PIPELINE`."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tasks.engine.errors import BackfillError
from tasks.partition_runs import Pipeline

NAME = "PIPELINE"


def find_pipelines(package: ModuleType) -> tuple[Pipeline, ...]:
    """Import the modules of a package that assign `PIPELINE`, and return the pipelines in the order of their modules.

    Other modules are not imported, because a flow may import large libraries.

    Raises:
        BackfillError: A `PIPELINE` is not a `Pipeline`.
    """
    return tuple(_pipeline_of(f"{package.__name__}.{name}") for name in _declaring_modules(package))


def _declaring_modules(package: ModuleType) -> Iterator[str]:
    for file in sorted(path for folder in package.__path__ for path in Path(folder).glob("*.py")):
        for statement in ast.parse(file.read_bytes()).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == NAME for target in targets):
                yield file.stem


def _pipeline_of(module: str) -> Pipeline:
    found = getattr(importlib.import_module(module), NAME)
    if not isinstance(found, Pipeline):
        raise BackfillError(f"{module}.{NAME}: expected a Pipeline, found {type(found).__name__}. Correct the module")
    return found
