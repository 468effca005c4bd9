"""kill -9 of a sync between and inside its steps: the next run has the result of an undisturbed run."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from faults.processes import Death
from faults.totesys_process import run_until_death
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from runs_here import run_here
from sample_dataset import connection
from totesys_direct import Star, Stores

from deployments.samples.totesys import OPENED_AT, fill_source
from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync
from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.engine.lake.client import PART_BYTES
from tasks.engine.warehouse.tables import Connection

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource, TotesysStores

pytestmark = pytest.mark.ledger

CALL = "botocore.client:BaseClient._make_api_call"
WRITE = "tasks.engine.sync.run_store:RunStore.write"
MARK = "tasks.engine.sync.run_store:RunStore.mark_complete"
ADVANCE = "tasks.engine.sync.runs:advance_run"
MOVE = "tasks.engine.sync.run_store:RunStore.move_processed"
MOVE_ONE = "tasks.engine.sync.run_store:move_object"
LOAD = "tasks.load:load"
BUILD = "tasks.engine.build.builder:build_tables"

LARGE = PART_BYTES + 1

DEATHS = {
    "in the lake": {
        "number drawn": Death("tasks.engine.sync.runs:begin_run"),
        "first table exported": Death(WRITE),
        "all tables exported": Death(MARK, "before"),
        "first part of a large table sent": Death(CALL, containing="UploadPart"),
        "marker written": Death(CALL, containing="csv_export_completed"),
        "export entered": Death(ADVANCE),
        "first table converted": Death(WRITE, containing="'parquet'"),
        "all tables converted": Death(MARK, "before", containing="'parquet'"),
        "parquet marker written": Death(MARK, containing="'parquet'"),
        "conversion entered": Death(ADVANCE, count=2),
        "first CSV file copied": Death(CALL, containing="'CopySource'"),
        "first CSV file moved": Death(MOVE_ONE, containing=".csv"),
        "CSV log to be written": Death(CALL, "before", containing="csv_processed"),
    },
    "in the warehouse": {
        "first table loaded": Death(LOAD),
        "second table loaded": Death(LOAD, count=2),
        "first schema built": Death(BUILD),
        "origins built": Death(BUILD, count=2),
        "star built": Death(BUILD, count=3),
        "run to be entered": Death("tasks.engine.sync.steps:close_run", "before"),
        "load entered": Death(ADVANCE, count=3),
        "first parquet file moved": Death(MOVE_ONE, containing=".parquet"),
        "parquet log to be written": Death(CALL, "before", containing="parquet_processed"),
        "parquet files moved": Death(MOVE, count=2),
    },
}
COPY = "tasks.engine.load.loader:copy_in"
OPEN_LOAD = "tasks.engine.ledger:open_load"
WRITE_BUILD = "tasks.engine.ledger:write_build"
ORIGINS, STAR = "'totesys_core.origins'", "'totesys_warehouse"

DEATHS_SIDE_BY_SIDE = {
    "a file copied": (Death(COPY, containing="staff"), Death(OPEN_LOAD, containing="payment")),
    "a file loaded": (Death(LOAD, containing="staff"), Death(OPEN_LOAD, containing="payment")),
    "second build to begin": (Death(BUILD, "before", containing=ORIGINS), Death(WRITE_BUILD, containing=STAR)),
    "both builds open": (Death(WRITE_BUILD, containing=ORIGINS), Death(WRITE_BUILD, containing=STAR)),
    "origins committed": (Death(BUILD, containing=ORIGINS), Death(WRITE_BUILD, containing=STAR)),
    "star committed": (Death(BUILD, containing=STAR), Death(WRITE_BUILD, containing=ORIGINS)),
}
"""The step at which one thread kills the process, and the step at which another thread waits in an open transaction."""

SUPERSEDED = {"number drawn", "first part of a large table sent", "first table exported", "all tables exported"}
"""Steps of runs whose files are incomplete."""

BUILT = {"star built", "run to be entered", "load entered", "first parquet file moved", "parquet log to be written"}
BUILT |= {"parquet files moved"}
"""Steps after the commit of the star."""


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
def test_run_after_a_killed_run_has_the_result_of_an_undisturbed_run(
    source: psycopg.Connection[Any], stores: Stores, steps: str
) -> None:
    """Each process completes or supersedes the run that died before it, begins the next run, and dies in that run."""
    star, at = Star(source), OPENED_AT + timedelta(hours=1)
    run_here(totesys_sync)
    star.see()
    with connection() as warehouse:
        (last,) = last_runs(warehouse, 1)
        for step, death in DEATHS[steps].items():
            change(source, at, "staff", "payment")
            if "large" in step:
                source.execute(f"UPDATE design SET file_name = repeat('x', {LARGE}) WHERE design_id = 1")
            at += timedelta(hours=1)
            run_until_death(totesys_sync, death, of_new_run=True)
            stores.look()
            before, died = last_runs(warehouse, 2)
            assert before == (last[0], last[1], True), step
            assert died[0] == last[0] + 1, step
            if step not in BUILT:  # the star has the result of the earlier runs
                star.assert_equals_source(warehouse, is_compared=False)
            if step not in SUPERSEDED:  # the run after a superseded run reads newer rows
                star.see()
            if step in BUILT:
                star.assert_equals_source(warehouse, is_compared=False)
            last = died[0], "superseded" if step in SUPERSEDED else "loaded"
            source.execute("UPDATE design SET file_name = 'small' WHERE length(file_name) = %s", [LARGE])
        change(source, at, "payment")
        run_here(totesys_sync)
        stores.look()
        star.see()
        star.assert_equals_source(warehouse, is_compared=False)
        assert last_runs(warehouse, 2) == [(*last, True), (last[0] + 1, "loaded", True)]
        run_here(totesys_deletions)
        star.assert_equals_source(warehouse, is_compared=True)
        stores.assert_complete(warehouse)


@pytest.fixture
def killed_runs(prefect_server: str) -> Iterator[None]:
    """Delete the runs that a kill leaves in the state Running, so that no other test finds them."""
    del prefect_server
    yield
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=running)):
            client.delete_flow_run(run.id)


@pytest.mark.usefixtures("database", "stores", "killed_runs")
def test_run_after_a_kill_during_work_side_by_side_has_the_result_of_an_undisturbed_run(
    source: psycopg.Connection[Any],
) -> None:
    star, at = Star(source), OPENED_AT + timedelta(hours=1)
    run_here(totesys_sync)
    star.see()
    with connection() as warehouse:
        for step, (death, held) in DEATHS_SIDE_BY_SIDE.items():
            change(source, at, "staff", "payment", "design", "purchase_order")
            at += timedelta(hours=1)
            run_until_death(totesys_sync, death, held)
            star.see()
            assert last_runs(warehouse, 1)[0][2] is False, step
            run_here(totesys_sync)
            star.assert_equals_source(warehouse, is_compared=False)
            assert [status for _, status, _ in last_runs(warehouse, 2)] == ["loaded", "unchanged"], step


def change(source: psycopg.Connection[Any], at: datetime, *tables: str) -> None:
    """Add a new row and a new version of an existing row to some tables."""
    for table in tables:
        columns = ", ".join(next(known for known in SOURCE_TABLES if known.name == table).columns[1:-1])
        row = f"SELECT {columns}, %s FROM {table} WHERE {table}_id = 1"
        source.execute(f"INSERT INTO {table} ({columns}, last_updated) {row}", [at])
        source.execute(f"UPDATE {table} SET last_updated = %s WHERE {table}_id = 1", [at])


def last_runs(warehouse: Connection, count: int) -> list[tuple[Any, ...]]:
    query = "SELECT run_number, status, finished_at IS NOT NULL FROM ledger.sync_runs ORDER BY 1 DESC LIMIT %s"
    return warehouse.execute(query, [count]).fetchall()[::-1]
