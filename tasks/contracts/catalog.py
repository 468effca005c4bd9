"""The catalog: every contract, source and setting that the modules of this package declare."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tasks import contracts as package
from tasks.contracts import Contract
from tasks.contracts.settings import Setting, variable_of
from tasks.contracts.source import Source

Declared = TypeVar("Declared", Contract, Source, Setting)


def contracts() -> dict[str, Contract]:
    """All contracts, by dataset.

    Raises:
        ValueError: Two contracts share a dataset or a staging table.
    """
    found: dict[str, Contract] = {}
    tables: dict[str, Contract] = {}
    for name, contract in _declared(Contract):
        other = found.setdefault(contract.dataset, contract)
        if other is not contract or tables.setdefault(contract.table, contract) is not contract:
            raise ValueError(
                f"{name}: expected a unique dataset and a unique table, found another contract with the dataset"
                f" {contract.dataset} or the table {contract.table}"
            )
    return found


def sources() -> dict[str, Source]:
    """All operational databases, by name.

    Raises:
        ValueError: Two sources share a name.
    """
    found: dict[str, Source] = {}
    for name, source in _declared(Source):
        if found.setdefault(source.name, source) is not source:
            raise ValueError(f"{name}: expected a source with a name of its own, found {source.name} twice")
    return found


def settings() -> dict[str, Setting]:
    """The settings of all pipelines, by variable, without the logins of sources.

    Raises:
        ValueError: Two different settings share a variable.
    """
    # A contract's settings come first, because they have the check of its partitions as well.
    declared = [setting for contract in contracts().values() for setting in contract.settings.values()]
    declared += [setting for _, setting in _declared(Setting)]
    for source in sources().values():
        declared += [source.csv_bucket, source.parquet_bucket]
    found: dict[str, Setting] = {}
    for setting in declared:
        other = found.setdefault(setting.variable, setting)
        if (other.default, other.meaning) != (setting.default, setting.meaning):
            raise ValueError(
                f"variable {setting.variable}: expected one setting, found {other.meaning!r} with default"
                f" {other.default!r} and {setting.meaning!r} with default {setting.default!r}. Declare one of them"
            )
    return found


def replaced_variables() -> dict[str, str]:
    """The variables that a contract does not read because it declares a `Setting` with another variable instead.

    The keys are the names that derive from the dataset, and the values the variables of the settings.
    """
    derived = {
        variable_of(contract.dataset, field): setting.variable
        for contract in contracts().values()
        for field, setting in contract.settings.items()
    }
    return {name: variable for name, variable in derived.items() if name != variable}


def _declared(kind: type[Declared]) -> Iterator[tuple[str, Declared]]:
    """Yield what the modules declare at their top level, alone or in a tuple or list, with the module's name."""
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")):
        for value in _instances(kind, vars(importlib.import_module(name)).values()):
            yield name, value


def _instances(kind: type[Declared], values: Iterable[Any]) -> Iterator[Declared]:
    for value in values:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, tuple | list):
            yield from (item for item in value if isinstance(item, kind))
