"""kill -9 of a sync between any two steps, and in them: the next run brings what an undisturbed one would have."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from faults.processes import Death
from faults.totesys_process import run_flow
from things import connection
from totesys_direct import Star, Stores

from deployments.sample_totesys import OPENED_AT, fill_source
from deployments.sample_totesys_changes import change_source
from tasks.engine.lake import PART_BYTES
from tasks.engine.warehouse import Connection

if TYPE_CHECKING:
    from conftest import TotesysSource, TotesysStores

CALL = "botocore.client:BaseClient._make_api_call"
WRITE = "tasks.engine.run_store:RunStore.write"
MARK = "tasks.engine.run_store:RunStore.mark_complete"
ADVANCE = "tasks.engine.sync_runs:advance_run"
MOVE = "tasks.engine.run_store:RunStore.move_processed"
MOVE_ONE = "tasks.engine.run_store:move_object"
LOAD = "tasks.load:load"
BUILD = "tasks.engine.builder:build_tables"

LARGE = PART_BYTES + 1

DEATHS = {
    "in the lake": {
        "number drawn": Death("tasks.engine.sync_runs:begin_run"),
        "first part of a large table sent": Death(CALL, containing="UploadPart"),
        "first table exported": Death(WRITE),
        "all tables exported": Death(MARK, "before"),
        "marker written": Death(CALL, containing="csv_export_completed"),
        "export entered": Death(ADVANCE),
        "first table converted": Death(WRITE, containing="'parquet'"),
        "parquet marker written": Death(MARK, containing="'parquet'"),
        "conversion entered": Death(ADVANCE, count=2),
        "first CSV file copied": Death(CALL, containing="'CopySource'"),
        "first CSV file moved": Death(MOVE_ONE, containing=".csv"),
        "CSV log to be written": Death(CALL, "before", containing="csv_processed"),
    },
    "in the warehouse": {
        "first table loaded": Death(LOAD),
        "first schema built": Death(BUILD),
        "star built": Death(BUILD, count=2),
        "load entered": Death(ADVANCE, count=3),
        "first parquet file moved": Death(MOVE_ONE, containing=".parquet"),
        "parquet log to be written": Death(CALL, "before", containing="parquet_processed"),
        "parquet files moved": Death(MOVE, count=2),
    },
}
SUPERSEDED = {"number drawn", "first part of a large table sent", "first table exported", "all tables exported"}


@pytest.fixture
def source(totesys_source: "TotesysSource") -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as opened:
        fill_source(opened, sales_orders=10)
        yield opened


@pytest.fixture
def stores(totesys_stores: "TotesysStores") -> Stores:
    return Stores(totesys_stores.csv, totesys_stores.parquet)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("steps", DEATHS)
def test_run_that_follows_a_killed_one_brings_what_an_undisturbed_one_would(
    source: psycopg.Connection[Any], stores: Stores, steps: str
) -> None:
    star, at = Star(source), OPENED_AT + timedelta(hours=1)
    rng = random.Random(steps)  # noqa: S311 - repeatable, not secret
    run_flow("sync")
    star.see()
    with connection() as warehouse:
        for step, death in DEATHS[steps].items():
            change_source(source, rng, 3, at=at)
            if "large" in step:
                source.execute(f"UPDATE design SET file_name = repeat('x', {LARGE}) WHERE design_id = 1")
            at += timedelta(hours=1)
            run_flow("sync", death)
            stores.look()
            (before,) = last_runs(warehouse, 1)
            star.see()  # which the killed run did as well: it is completed, or nothing of it stays
            if step not in SUPERSEDED:
                change_source(source, rng, 3, at=at)
                at += timedelta(hours=1)
                star.see()
            run_flow("sync")
            stores.look()
            star.assert_stands(warehouse, is_compared=False)
            killed, last = last_runs(warehouse, 2)
            assert killed == (before[0], "superseded" if step in SUPERSEDED else "loaded", True), step
            assert last == (before[0] + 1, "loaded", True), step
        run_flow("deletions")
        star.assert_stands(warehouse, is_compared=True)
        stores.assert_complete(warehouse)


def last_runs(warehouse: Connection, count: int) -> list[tuple[Any, ...]]:
    query = "SELECT run_number, status, finished_at IS NOT NULL FROM ledger.sync_runs ORDER BY 1 DESC LIMIT %s"
    return warehouse.execute(query, [count]).fetchall()[::-1]
