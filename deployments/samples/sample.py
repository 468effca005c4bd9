"""The samples: a module of `deployments/samples/` that assigns `SAMPLE` brings sample data of one pipeline."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from deployments import samples
from deployments.local.embedded import Services
from tasks.engine.declarations import declaring_modules
from tasks.engine.receipts import LoadReceipt

NAME = "SAMPLE"
ROWS = 100_000


@dataclass(frozen=True)
class DemoRun:
    """What the demo gives to a sample.

    Attributes:
        services: The folder of the services' data, which `Sample.provide` got too.
        rows: Number of rows of a large file.
    """

    services: Path
    rows: int = ROWS


@dataclass(frozen=True)
class DemoResult:
    """What a sample did in the demo.

    Attributes:
        loads: Receipts of its loads.
        differences: One line for each count that differs from the generated data.
        exports: Names of the files that it exported, for the summary.
    """

    loads: Sequence[LoadReceipt] = ()
    differences: Sequence[str] = ()
    exports: Sequence[str] = ()


def provides_nothing(_services: Services, _folder: Path) -> Mapping[str, str]:
    """Need nothing but the warehouse and the lake."""
    return {}


@dataclass(frozen=True)
class Sample:
    """Sample data of one pipeline.

    Attributes:
        run: Generate the data, run the pipeline, print the results and compare them with the generated data. Flows are
            imported inside, because Prefect reads its settings when it is imported.
        command: Arguments of `prefect deployment run` that run the pipeline, for the message of `make up`.
        provide: Create what the pipeline needs besides the warehouse and the lake, such as an operational database.
            Takes the services and the folder of their data, and returns variables for the flows.
    """

    run: Callable[[DemoRun], DemoResult]
    command: str
    provide: Callable[[Services, Path], Mapping[str, str]] = provides_nothing


def find_samples(package: ModuleType = samples) -> tuple[Sample, ...]:
    """Import the modules of a package that assign `SAMPLE`, and return the samples in the order of their modules.

    Raises:
        TypeError: A `SAMPLE` is not a `Sample`.
    """
    return tuple(_sample_of(f"{package.__name__}.{name}") for name in declaring_modules(package, NAME))


def _sample_of(module: str) -> Sample:
    found = getattr(importlib.import_module(module), NAME)
    if not isinstance(found, Sample):
        raise TypeError(f"{module}.{NAME}: expected a Sample, found {type(found).__name__}. Correct the module")
    return found


def provide(services: Services, folder: Path) -> dict[str, str]:
    """Create what the samples need besides the warehouse and the lake, and return the variables for the flows."""
    variables: dict[str, str] = {}
    for sample in find_samples():
        variables |= sample.provide(services, folder)
    return variables
