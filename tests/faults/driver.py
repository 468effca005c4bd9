"""One load, export or build in a separate process, which may kill itself at a chosen step.

It says `ready` when it has connected, waits for an answer, and sends the statuses of its receipts.
"""

import importlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sample_dataset import THINGS, TOLERANT, connection, lake, load, ref

from tasks.engine.build.builder import build_tables
from tasks.engine.export.exporter import Export, write_exports
from tasks.engine.load.delivery import load_delivery
from tasks.extract import delivery_of

PARTS = replace(THINGS, key="{year:04d}/{month:02d}/*.csv")
"""A dataset with many files in a month."""

PATIENCE = 60
"""Seconds until a thread stops waiting for another one."""

COMMIT = "psycopg:Transaction.__exit__"
"""Counts as a call only if it ends a transaction, not a savepoint."""


def resolved(path: str) -> tuple[Any, str]:
    """The owner and the name of `module:attribute.attribute`."""
    module, _, attributes = path.partition(":")
    *owners, name = attributes.split(".")
    found = importlib.import_module(module)
    return (attrgetter(".".join(owners))(found) if owners else found), name


def die_at(path: str, when: str, count: int, containing: str) -> None:
    """Kill this process, as kill -9 does, before or after a call."""
    _act_at(_die, path, when, count, containing)


def die_at_later(start: str, death: dict[str, Any]) -> None:
    """Kill this process at a call, and count its calls from the first call of `start` on."""
    owner, name = resolved(start)
    original: Callable[..., Any] = getattr(owner, name)

    @wraps(original)
    def begun(*arguments: Any, **named: Any) -> Any:
        setattr(owner, name, original)
        die_at(**death)
        return getattr(owner, name)(*arguments, **named)

    setattr(owner, name, begun)


def die_beside(death: dict[str, Any], held: dict[str, Any]) -> None:
    """Kill this process at a call of one thread, while another thread stays at another call."""
    is_held = threading.Event()

    def hold() -> None:
        is_held.set()
        threading.Event().wait(PATIENCE)
        raise AssertionError(f"no other thread came to {death}")

    def die() -> None:
        assert is_held.wait(PATIENCE), f"no other thread came to {held}"
        _die()

    _act_at(hold, **held)
    _act_at(die, **death)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _act_at(act: Callable[[], None], path: str, when: str, count: int, containing: str) -> None:
    """Call a function before or after a call."""
    owner, name = resolved(path)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @wraps(original)
    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        is_savepoint = path == COMMIT and bool(arguments[0].savepoint_name)
        is_counted = not is_savepoint and containing in repr((arguments, named))
        calls += is_counted
        is_due = is_counted and calls == count
        if is_due and when == "before":
            act()
        answer = original(*arguments, **named)
        if is_due and when != "before":
            act()
        return answer

    setattr(owner, name, counted)


def work(name: str, arguments: dict[str, Any], warehouse: psycopg.Connection[Any]) -> list[str]:
    """Do the job, and return the statuses of its receipts."""
    if name == "load":
        return [load(warehouse, ref(**arguments)).status]
    if name == "delivery":
        listing = partial(delivery_of, lake(), PARTS, "2021-04")
        return [
            receipt.status
            for receipt in load_delivery(
                warehouse, lake(), PARTS, "2021-04", listing, TOLERANT, reconnect=partial(connection, "driver")
            )
        ]
    if name == "export":
        query = sql.SQL(arguments["query"])
        exports = [Export("numbers", query, fingerprint=arguments["fingerprint"])]
        return [receipt.status for receipt in write_exports(warehouse, lake(), exports, prefix="out/", export_id="x")]
    arguments["root"] = Path(arguments["root"])
    receipts = build_tables(warehouse, "things_marts", {}, partition="2021-04", datasets=["things"], **arguments)
    return [receipt.status for receipt in receipts]


def run(pipe: Connection, job: dict[str, Any]) -> None:
    """Run a job: see `processes`."""
    for path, value in job["settings"].items():
        setattr(*resolved(path), value)
    with connection("driver") as warehouse:
        pipe.send("ready")
        pipe.recv()
        if job["die"]:
            die_at(**job["die"])
        statuses = work(job["work"], job["arguments"], warehouse)
    pipe.send(statuses)
