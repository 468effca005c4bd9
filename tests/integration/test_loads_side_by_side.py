"""The files of a partition load side by side, within the memory of a load, and every other writer waits for them."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow.parquet
import pytest
from peak_memory import needs_proc, printed_by
from prefect import flow
from sample_dataset import (
    HEADER,
    THINGS,
    TOLERANT,
    connection,
    lake,
    load,
    names,
    put,
    ready_connection,
    ref,
)
from sample_visits import HEADER as VISITS_HEADER
from sample_visits import VISITS, visit_records

from tasks import load as load_step
from tasks.contracts import Contract
from tasks.engine.errors import (
    ErrorBudgetError,
    FailedLoadsError,
    MemoryLimitError,
    PartitionBusyError,
    WarehouseUnavailableError,
)
from tasks.engine.lake.client import Lake
from tasks.engine.load import rejections
from tasks.engine.load.delivery import load_delivery
from tasks.engine.load.load_memory import LOAD_SHARE_MB, most_loads_at_once, settings_of_each_load
from tasks.engine.load.loader import load_object
from tasks.engine.load.replay import replay_load
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.settings import PROCESS_MB, RunSettings
from tasks.engine.warehouse import locks
from tasks.engine.warehouse.tables import Connection
from tasks.extract import delivery_of
from tasks.load import load_objects, load_side_by_side
from tasks.transform import build_schemas

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

PARTS = replace(THINGS, key="{year:04d}/{month:02d}/*.csv")
YEARLY = replace(PARTS, partition=replace(THINGS.partition, span="year"))  # type: ignore[type-var]
GROWING = replace(THINGS, partition=None, prefix="", key="*/*/*.csv", delivery="append")
SEVERAL = [pytest.param(contract, id=name) for name, contract in (("month", PARTS), ("append", GROWING))]


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def part(text: str, row: str = "", partition: str = "2021-04") -> ObjectRef:
    """Write a part file with the text as its name and, by default, as its only row."""
    return put(HEADER + (row or f"{text},2021-04-01").encode() + b"\n", f"2021/04/{text}.csv", partition)


def beside(postgres: Connection, source: ObjectRef, act: Callable[[], object], contract: Contract = PARTS) -> None:
    """Act while a load has written its rows and has not committed yet."""
    acted: list[object] = []
    load(postgres, source, contract=contract, on_progress=lambda _, __: acted.append(act()))
    assert len(acted) == 1


def load_apart(source: ObjectRef, contract: Contract = PARTS) -> str:
    with connection("other") as own:
        return load(own, source, contract=contract).status


def refused(match: str, act: Callable[[], object]) -> None:
    with pytest.raises(PartitionBusyError, match=match):
        act()


# ---- The locks


@pytest.mark.parametrize("contract", [*SEVERAL, pytest.param(YEARLY, id="year")])
def test_other_objects_load_and_commit_during_a_load(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    del database, bucket
    monkeypatch.setattr(locks, "LOCK_WAIT", "2s")
    partition = "2021-04" if contract.partition else ""
    with ready_connection(contract) as postgres:
        load(postgres, part("first", partition=partition), contract=contract)
        changed = part("first", "changed,2021-04-01", partition)
        new = part("new", partition=partition)
        beside(
            postgres,
            part("slow", partition=partition),
            lambda: [load_apart(changed, contract), load_apart(new, contract)],
            contract,
        )
        found = [name for (name,) in postgres.execute("SELECT name FROM things_staging.things ORDER BY 1")]
        assert found == ["changed", "new", "slow"]
        loads = postgres.execute("SELECT count(*) FROM ledger.loads WHERE status = 'loaded'").fetchone()
        assert loads == (3,)


def test_load_of_the_same_object_waits_and_names_the_other_run(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "50ms")
    load(postgres, part("first"), contract=PARTS)
    source = part("a")
    busy = rf"things s3://.*/2021/04/a.csv is being written by process {postgres.info.backend_pid} \(test\)"
    beside(postgres, source, lambda: refused(busy, lambda: load_apart(source)))
    assert load_apart(source) == "unchanged"
    assert names(postgres) == ["a", "first"]


def test_other_objects_wait_for_the_load_that_creates_the_table_of_the_month(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "50ms")
    other = part("other")
    beside(postgres, part("first"), lambda: refused("things 2021-04 is being", lambda: load_apart(other)))
    assert load_apart(other) == "loaded"


def test_object_of_a_dataset_of_one_object_loads_alone(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database, bucket
    monkeypatch.setattr(locks, "LOCK_WAIT", "50ms")
    whole = replace(THINGS, partition=None, key=None, prefix="", keys=("2021/04/a.csv", "2021/04/b.csv"))
    other = part("b", partition="")
    with ready_connection(whole) as postgres:
        busy = "things is being written by"
        beside(postgres, part("a", partition=""), lambda: refused(busy, lambda: load_apart(other, whole)), whole)


def test_correction_and_replay_wait_for_a_load_and_a_load_waits_for_them(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "50ms")
    load(postgres, part("first", "first,no date"), contract=PARTS)

    def correct() -> object:
        listing = delivery_of(lake(), PARTS, "2021-04")
        with connection() as own:
            return load_delivery(own, lake(), PARTS, "2021-04", lambda: listing, TOLERANT, reconnect=connection)

    def replay() -> object:
        with connection() as own:
            (rejected,) = rejections.rejected_loads(own, "things", "2021-04")
            return replay_load(own, PARTS, rejected)

    for number, act in enumerate((correct, replay)):
        source = part(f"slow{number}")
        beside(postgres, source, lambda act=act: refused("things 2021-04 is being", act))  # type: ignore[misc]
    with connection("correction") as other, other.transaction():
        locks.lock(other, "things 2021-04")
        refused(r"things 2021-04 is being written by .*\(correction\)", lambda: load_apart(part("late")))


def test_two_runs_of_many_objects_load_each_once(postgres: Connection) -> None:
    load(postgres, part("first"), contract=PARTS)
    sources = [part(f"p{number}") for number in range(8)]
    together = threading.Barrier(4)

    def one_run(number: int) -> list[str]:
        with connection(f"run {number}") as own:
            together.wait(10)
            return [load(own, each, contract=PARTS).status for each in sources[number:] + sources[:number]]

    with ThreadPoolExecutor(4) as pool:
        found = sorted(status for statuses in pool.map(one_run, range(4)) for status in statuses)
    assert found == ["loaded"] * 8 + ["unchanged"] * 24
    assert names(postgres) == sorted(["first", *(f"p{number}" for number in range(8))])
    assert postgres.execute("SELECT count(*) FROM ledger.loads").fetchone() == (9,)


# ---- Runs


@flow
def loading(contract: Contract, *, force: bool = False) -> list[LoadReceipt]:
    build_schemas([contract], [])
    return load_objects(contract, "2021-04" if contract.partition else "", force=force)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many loads of the process were open when each load began to read."""
    counts: list[int] = []
    active, guard, original = [0], threading.Lock(), load_object

    def counted(*arguments: Any, **named: Any) -> LoadReceipt:
        with guard:
            active[0] += 1
            counts.append(active[0])
        try:
            return original(*arguments, **named)
        finally:
            with guard:
                active[0] -= 1

    monkeypatch.setattr("tasks.load.load", counted)
    return counts


@pytest.mark.usefixtures("prefect_server", "postgres")
def test_run_loads_new_objects_of_a_month_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("a", "b", "c", "d", "e"):
        part(text)
    pairs, opened = threading.Barrier(2), Lake.open
    settings: list[int] = []

    def meeting(*arguments: Any, **named: Any) -> object:
        if not arguments[1].uri.endswith("a.csv"):
            pairs.wait(30)  # a load that runs alone would wait in vain
        return opened(*arguments, **named)

    original = load_object

    def watched(*arguments: Any, **named: Any) -> LoadReceipt:
        settings.append(arguments[4].load_memory_mb)
        return original(*arguments, **named)

    monkeypatch.setattr(Lake, "open", meeting)
    monkeypatch.setattr("tasks.load.load", watched)
    receipts = loading(PARTS)
    assert [receipt.source_uri[-5:] for receipt in receipts] == ["a.csv", "b.csv", "c.csv", "d.csv", "e.csv"]
    assert [receipt.status for receipt in receipts] == ["loaded"] * 5
    assert settings == [400, 340, 340, 340, 340]
    assert [receipt.status for receipt in loading(PARTS)] == ["unchanged"] * 5


@pytest.mark.usefixtures("prefect_server", "postgres")
@pytest.mark.parametrize(("memory_mb", "at_once"), [("256", 1), ("399", 1), ("400", 2)])
def test_memory_bounds_how_many_objects_load_at_once(
    monkeypatch: pytest.MonkeyPatch, seen: list[int], memory_mb: str, at_once: int
) -> None:
    monkeypatch.setenv("LOAD_MEMORY_MB", memory_mb)
    for number in range(6):
        part(f"p{number}")
    assert len(loading(PARTS)) == 6
    assert len(seen) == 6
    assert max(seen) <= at_once


@pytest.mark.parametrize(
    ("memory_mb", "at_once", "share"),
    [(256, 1, 256), (399, 1, 399), (400, 2, 340), (459, 2, 369), (460, 3, 340), (520, 4, 340), (2000, 4, 710)],
)
def test_loads_share_the_memory_of_the_process(memory_mb: int, at_once: int, share: int) -> None:
    settings = RunSettings(load_memory_mb=memory_mb)
    assert most_loads_at_once(settings) == at_once
    shared = settings_of_each_load(settings, at_once)
    assert shared.load_memory_mb == share
    if at_once > 1:
        assert share - PROCESS_MB >= LOAD_SHARE_MB
        assert at_once * shared.chunk_bytes <= settings.chunk_bytes


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("contract", SEVERAL)
def test_objects_that_fail_are_named_and_the_others_are_loaded(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    del database, bucket
    monkeypatch.setenv("MAX_REJECTED_ROWS", "0")
    monkeypatch.setenv("MAX_REJECTED_SHARE", "0")
    for text in ("a", "c", "e"):
        part(text, f"{text},no date")
    for text in ("b", "d", "f"):
        part(text)
    with pytest.raises(FailedLoadsError) as caught:
        loading(contract)
    message = str(caught.value)
    assert "things_staging.things: expected to load 6 objects, found 3 that failed" in message
    assert [f"2021/04/{text}.csv" in message for text in "abcdef"] == [True, False, True, False, True, False]
    query = "SELECT name FROM things_staging.things ORDER BY 1"
    with connection() as postgres:
        assert postgres.execute(query).fetchall() == [("b",), ("d",), ("f",)]
        for text in ("a", "c"):
            part(text)
        with pytest.raises(ErrorBudgetError, match=r"2021/04/e\.csv"):
            loading(contract)
        part("e")
        statuses = [receipt.status for receipt in loading(contract)]
        assert statuses == ["unchanged"] * 4 + ["loaded", "unchanged"]
        assert [name for (name,) in postgres.execute(query)] == ["a", "b", "c", "d", "e", "f"]
        ended = postgres.execute("SELECT status, count(*) FROM ledger.load_attempts GROUP BY 1 ORDER BY 1").fetchall()
        assert ended == [("failed", 4), ("loaded", 6)]


@pytest.mark.usefixtures("prefect_server")
def test_objects_of_several_datasets_load_side_by_side_and_failed_ones_are_named(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database, bucket
    monkeypatch.setenv("MAX_REJECTED_ROWS", "0")
    monkeypatch.setenv("MAX_REJECTED_SHARE", "0")
    datasets = [replace(PARTS, dataset=f"things_{n}", table=f"things_staging.things_{n}") for n in range(4)]

    @flow
    def run() -> list[LoadReceipt]:
        build_schemas(datasets, [])
        return load_side_by_side([(contract, part(contract.dataset, rows[n])) for n, contract in enumerate(datasets)])

    rows = ["", "b,no date", "c,no date", ""]
    with pytest.raises(FailedLoadsError, match=r"^things_staging\.things_1, things_staging\.things_2: .* 4 objects"):
        run()
    with connection() as postgres:
        counts = [postgres.execute(f"SELECT count(*) FROM {each.table}".encode()).fetchone() for each in datasets]
    assert counts == [(1,), (0,), (0,), (1,)]
    rows[1] = ""
    with pytest.raises(ErrorBudgetError, match=r"2021/04/things_2\.csv"):
        run()
    rows[2] = ""
    assert [(load.table, load.status) for load in run()] == [
        (each.table, "loaded" if n == 2 else "unchanged") for n, each in enumerate(datasets)
    ]


@pytest.mark.usefixtures("prefect_server")
def test_no_object_is_no_load(database: str, bucket: str) -> None:
    del database, bucket
    assert flow(lambda: load_side_by_side([]), name="none")() == []


@pytest.mark.usefixtures("prefect_server", "postgres")
def test_load_that_lost_its_connection_is_retried_while_the_other_loads_continue(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    for text in ("a", "b", "c", "d"):
        part(text)
    cut: list[object] = []
    opened = Lake.open

    def cutting(*arguments: Any, **named: Any) -> object:
        if arguments[1].uri.endswith("c.csv") and not cut:
            with psycopg.connect(database, autocommit=True) as other:
                cut.append(
                    other.execute(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                        " AND (classid::bigint << 32 | objid::bigint) = hashtextextended('things ' || %s, 0)",
                        [arguments[1].uri],
                    ).fetchone()
                )
        return opened(*arguments, **named)

    monkeypatch.setattr(Lake, "open", cutting)
    monkeypatch.setattr(load_step, "load_object", load_step.load_object.with_options(retry_delay_seconds=0.01))
    assert [receipt.status for receipt in loading(PARTS)] == ["loaded"] * 4
    assert cut == [(1,)]
    with connection() as postgres:
        assert names(postgres) == ["a", "b", "c", "d"]
        failed = postgres.execute("SELECT error_class FROM ledger.load_attempts WHERE status = 'failed'").fetchall()
        assert failed == [(WarehouseUnavailableError.__name__,)]


@pytest.mark.usefixtures("prefect_server", "postgres")
def test_object_that_does_not_fit_into_its_share_of_the_memory_loads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("a", "b", "c"):
        part(text)
    original = load_object

    def with_large_pages(*arguments: Any, **named: Any) -> LoadReceipt:
        source, settings = arguments[3:5]
        if source.uri.endswith("b.csv") and settings.load_memory_mb < 400:
            raise MemoryLimitError(f"{source.uri}: too large")
        return original(*arguments, **named)

    monkeypatch.setattr("tasks.load.load", with_large_pages)
    assert [receipt.status for receipt in loading(PARTS)] == ["loaded"] * 3


# ---- Memory

LOADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import prefect
from peak_memory import peak_mb
from sample_dataset import connection, load, ref
from sample_visits import VISITS
from tasks.engine.load.load_memory import most_loads_at_once, settings_of_each_load
from tasks.engine.settings import RunSettings
at_once = most_loads_at_once(RunSettings())
settings = settings_of_each_load(RunSettings(), at_once)
def one(key):
    with connection(key) as warehouse:
        return load(warehouse, ref(key), contract=VISITS, settings=settings).rows_loaded
with ThreadPoolExecutor(at_once) as pool:
    print(sum(pool.map(one, sys.argv[1:])), peak_mb())
"""


def content(suffix: str, block: bytes, count: int) -> Iterator[bytes]:
    """The records of a block several times, in the format of the suffix."""
    if suffix == "csv":
        yield from [VISITS_HEADER, *[block] * count]
        return
    rows = [
        {key: value or None for key, value in row.items()}
        for row in csv.DictReader(io.StringIO((VISITS_HEADER + block).decode()))
    ]
    if suffix == "ndjson":
        yield from ["".join(json.dumps(row) + "\n" for row in rows).encode()] * count
        return
    table, file = pyarrow.Table.from_pylist(rows), io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, table.schema) as writer:
        for _ in range(count):
            writer.write_table(table)
    yield file.getvalue()


MOST_MB = 300
"""Bound for objects of 10 MB. The peak is 185 to 235 MB: a load that keeps its rows in memory exceeds the bound."""


@needs_proc
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_peak_memory_of_loads_side_by_side_stays_within_the_limit(suffix: str) -> None:
    rows = 73_000
    records = visit_records(rows)
    with ready_connection(VISITS) as postgres:
        lake().write("first.csv", iter([VISITS_HEADER, visit_records(1)]), "")
        load(postgres, ref("first.csv"), contract=VISITS)
        keys = [f"{number}.{suffix}" for number in range(4)]
        blocks = list(content(suffix, records, 1))
        for key in keys:
            lake().write(key, iter(blocks), "binary/octet-stream")
        [line] = printed_by(LOADS, *keys)
        loaded, peak = line.split()
        assert int(loaded) == len(keys) * rows
        assert float(peak) < MOST_MB < RunSettings().load_memory_mb
