"""Run a contestant's function in this process: `python -m benchmarks.step benchmarks.cases.imports nothing`."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.contracts import Contract
    from tasks.engine.lake.client import Lake
    from tasks.engine.warehouse.tables import Connection


@contextmanager
def engine() -> Iterator[tuple["Connection", "Lake"]]:
    """Connect to the warehouse and the lake that the environment names, as a flow does."""
    from tasks.engine.lake.client import Lake
    from tasks.engine.settings import read_lake, read_warehouse
    from tasks.engine.warehouse.tables import connect

    with connect(read_warehouse(os.environ, dict), "bench") as connection, Lake(read_lake(os.environ, dict)) as lake:
        yield connection, lake


def load(contract: "Contract", keys: list[str], partitions: list[str]) -> None:
    """Load objects of a contract, one after another."""
    from tasks.engine.load.loader import load_object
    from tasks.engine.receipts import ObjectRef
    from tasks.engine.settings import read_run

    with engine() as (connection, lake):
        for key, partition in zip(keys, partitions, strict=True):
            stored = lake.head(key)
            source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, partition)
            load_object(connection, lake, contract, source, read_run(os.environ))


if __name__ == "__main__":
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
