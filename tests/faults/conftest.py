"""A month with a replacement: the states before and after an undisturbed load."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg
import pytest
from faults.aftermath import State, ranked_state, watching_query
from sample_dataset import HEADER, load, put, ready_connection

from tasks.engine.formats import csv_reader
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.tables import Connection

OLD = HEADER + b"".join(b"old %d,2021-04-01\n" % number for number in range(300)) + b"old and bad\n"
NEW = HEADER + b"".join(b"new %d,2021-04-02\nbad %d,soon\n" % (number, number) for number in range(500))
CHUNK_BYTES = 1500
"""Small, so that the new content has a dozen batches."""

MONTH = (
    "SELECT md5(string_agg(name, ',' ORDER BY name)), count(*),"
    " (SELECT string_agg(source_version, ',') FROM ledger.loads WHERE status = 'loaded'),"
    " (SELECT count(*) FROM ledger.rejected_rows JOIN ledger.loads USING (load_id) WHERE status = 'loaded')"
    " FROM things_staging.things"
)
"""A reader's view of the month at one moment: its rows, and their ledger entries."""


@dataclass(frozen=True)
class Replacement:
    """A month with loaded old content and delivered new content.

    Attributes:
        source: The new content.
        before: The state before the load.
        after: The state after an undisturbed load.
        views: The valid views of readers: the month before and after the load.
    """

    dsn: str
    source: ObjectRef
    before: State
    after: State
    views: set[tuple[object, ...]]

    def watching(self) -> AbstractContextManager[set[tuple[object, ...]]]:
        """Collect the views of the month during the block."""
        return watching_query(self.dsn, MONTH)


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    """The observer's connection."""
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


@pytest.fixture
def replacement(postgres: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Replacement:
    """The state before the fault. An undisturbed run, which is undone, gives the expected state."""
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", CHUNK_BYTES)
    load(postgres, put(OLD))
    before, old_view = ranked_state(postgres), view(postgres)
    with postgres.transaction(force_rollback=True):
        load(postgres, put(NEW))
        after, new_view = ranked_state(postgres), view(postgres)
    assert ranked_state(postgres) == before != after
    return Replacement(database, put(NEW), before, after, {old_view, new_view})


def view(postgres: psycopg.Connection[tuple[object, ...]]) -> tuple[object, ...]:
    row = postgres.execute(MONTH).fetchone()
    assert row is not None
    return row
