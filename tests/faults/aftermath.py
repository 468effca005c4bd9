"""The state after a fault: rows, ledger entries, leftovers, and the states that readers saw during the fault."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sample_dataset import state

State = dict[str, list[tuple[Any, ...]]]
Rows = list[tuple[Any, ...]]

PATIENCE = 60.0
OBSERVERS = ["watcher", "test"]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as a condition is true.

    Raises:
        AssertionError: The condition did not become true within a minute.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.02)


def ranked_state(warehouse: psycopg.Connection[Any]) -> State:
    """Rows, ledger entries and rejected rows, with loads numbered from 1, without the gaps of rolled back loads."""
    found = state(warehouse)
    rank = {row[0]: number for number, row in enumerate(found["loads"], 1)}
    return {
        "things": [(row[0], rank[row[1]], *row[2:]) for row in found["things"]],
        "loads": [(rank[row[0]], *row[1:-1], rank.get(row[-1])) for row in found["loads"]],
        "rejected": [(rank[row[0]], *row[1:]) for row in found["rejected"]],
    }


def left_behind(warehouse: psycopg.Connection[Any]) -> dict[str, Rows]:
    """Find leftovers, after all sessions except the observers have ended."""
    others = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND NOT application_name = ANY(%s)"
    )
    wait_for(lambda: not warehouse.execute(others, [OBSERVERS]).fetchall(), "the ends of the sessions of the dead")
    queries = {
        "locks": "SELECT l.locktype, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
        " WHERE a.backend_type = 'client backend' AND (l.locktype = 'advisory' OR l.mode <> 'AccessShareLock')",
        "open transactions": "SELECT application_name, state FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'",
        "prepared transactions": "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
        "temporary tables": "SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 't'",
        "tables beside their parent": "SELECT c.oid::regclass::text FROM pg_class c"
        " WHERE c.relnamespace = to_regnamespace('things_staging') AND c.relkind = 'r' AND NOT c.relispartition",
    }
    found = {what: warehouse.execute(query).fetchall() for what, query in queries.items()}
    return {what: rows for what, rows in found.items() if rows}


@contextmanager
def watching(look: Callable[[], Any], pause: float = 0.005) -> Iterator[set[Any]]:
    """Read a state repeatedly; collect all states from the start of the block to its end.

    Args:
        look: Reads the state.
        pause: Seconds between two looks. A look that costs much would otherwise take the CPU of the watched work.
    """
    seen = {look()}
    done = threading.Event()
    failures = []

    def watch() -> None:
        try:
            while not done.wait(pause):
                seen.add(look())
        except Exception as error:  # raised below, in the test's own thread
            failures.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
    if failures:
        raise failures[0]
    seen.add(look())


@contextmanager
def watching_query(dsn: str, query: str) -> Iterator[set[Any]]:
    """Read the first row of a query through a separate connection, and reconnect if the connection is lost."""
    connection: psycopg.Connection[Any] | None = None

    def look() -> Any:
        nonlocal connection
        while True:
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(make_conninfo(dsn, application_name="watcher"), autocommit=True)
                return connection.execute(query).fetchone()
            except psycopg.OperationalError:
                if connection is not None:
                    connection.close()
                time.sleep(0.05)

    try:
        with watching(look) as seen:
            yield seen
    finally:
        if connection is not None:
            connection.close()
