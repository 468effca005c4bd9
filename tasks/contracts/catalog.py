"""The catalog: all contracts in the modules of this package, by dataset."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from tasks import contracts as package
from tasks.contracts import Contract


def contracts() -> dict[str, Contract]:
    """Return all contracts by dataset.

    Raises:
        ValueError: Two contracts share a dataset or a staging table.
    """
    found: dict[str, Contract] = {}
    tables: dict[str, Contract] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")):
        for contract in _contracts_in(vars(importlib.import_module(name)).values()):
            other = found.setdefault(contract.dataset, contract)
            if other is not contract or tables.setdefault(contract.table, contract) is not contract:
                raise ValueError(
                    f"{name}: expected a unique dataset and a unique table, found another contract with the dataset"
                    f" {contract.dataset} or the table {contract.table}"
                )
    return found


def _contracts_in(values: Iterable[Any]) -> Iterable[Contract]:
    for value in values:
        if isinstance(value, Contract):
            yield value
        elif isinstance(value, tuple | list):
            yield from (item for item in value if isinstance(item, Contract))
