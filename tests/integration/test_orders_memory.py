"""Bounded memory: the memory of a load and an export of orders does not grow with the file."""

import json
import random
from datetime import date
from itertools import chain

import pytest
from peak_memory import needs_proc, printed_by
from sample_dataset import lake

from deployments.samples.orders import new_orders

pytestmark = pytest.mark.usefixtures("database", "bucket")

# Runs in a separate process, which starts with a new peak memory (VmHWM). Prints MB, rows and MB.
CHILD = """
import sys
from datetime import date
from peak_memory import peak_mb
from tasks.connections import open_lake, open_warehouse, run_settings
from tasks.contracts.orders import ORDERS
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.export.exporter import export_of_query, write_file
from tasks.engine.load.loader import load_object
from tasks.engine.build.sql_files import sql_table
from tasks.extract import objects_of

with open_warehouse() as connection, open_lake() as lake:
    apply_ddl(connection, [ORDERS], [])
    for day in map(date.fromisoformat, sys.argv[1:]):
        (source,) = objects_of(lake, ORDERS, f"{day}")
        load = load_object(connection, lake, ORDERS, source, run_settings())
        days = {"first_day": day, "last_day": day}
        export = export_of_query(sql_table("orders_export.orders"), days, name=f"{day}")
        write_file(connection, lake, export, prefix="Output/", group="days/")
        print(source.size_bytes >> 20, load.rows_loaded, int(peak_mb()))
"""
SMALL, LARGE = date(2021, 4, 1), date(2021, 4, 2)


def put_orders(day: date, megabytes: int) -> int:
    """Put a file of about this size, the same thousand orders over and over; returns how many orders it has."""
    orders = list(new_orders(random.Random(1), day, 1000))  # noqa: S311 - reproducible, not secret
    block = ", ".join(map(json.dumps, orders)).encode()
    count = (megabytes << 20) // len(block)
    blocks = (b", " * bool(number) + block for number in range(count))
    lake().write(f"Input/{day}.json", chain([b'{"orders": ['], blocks, [b"]}"]), "application/json")
    return count * len(orders)


@needs_proc
def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOAD_MEMORY_MB", "256")  # the least: buffers fill up early
    # Measured peaks of files of 15, 45, 90 and 180 MB are 140, 160, 165 and 170 MB: 45 MB fill the buffers.
    rows = [put_orders(day, megabytes) for day, megabytes in ((SMALL, 45), (LARGE, 75))]
    printed = printed_by(CHILD, f"{SMALL}", f"{LARGE}")
    (small, small_rows, small_peak), (large, large_rows, large_peak) = (map(int, line.split()) for line in printed)
    assert [small_rows, large_rows] == rows
    # Held whole, the larger file would take its size several times over.
    assert large_peak - small_peak < (large - small) / 2, printed
