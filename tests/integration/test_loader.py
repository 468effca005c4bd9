"""The load of one object with a real Postgres and a real S3 server."""

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_dataset import (
    HEADER,
    STRICT,
    THINGS,
    client,
    connection,
    lake,
    load,
    names,
    put,
    ready_connection,
    ref,
    state,
)

from tasks.engine.errors import (
    ContractError,
    ErrorBudgetError,
    LakeError,
    ObjectChangedError,
    PartitionBusyError,
    ShrinkError,
    UnreadableObjectError,
    WarehouseUnavailableError,
)
from tasks.engine.formats import csv_reader, parquet_reader
from tasks.engine.load import loader
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse import locks
from tasks.engine.warehouse import tables as warehouse

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

A_RUN = "0d9cbbd8-0000-4000-8000-000000000001"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[warehouse.Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def test_load_holds_rows_rejected_rows_and_entry(postgres: warehouse.Connection) -> None:
    data = HEADER + b'a,2021-03-31\n"b\nb",\n,2021-04-01\nd,April\ne\nf,2021-04-02,\n\n\xff,\n'
    source = put(data)
    receipt = load(postgres, source, flow_run_id=A_RUN)
    version, size = source.version, len(data)
    assert state(postgres) == {
        "things": [("2021-04-01", 1, "a", "2021-03-31"), ("2021-04-01", 1, "b\nb", None)],
        "loads": [(1, "2021-04", source.uri, version, size, "loaded", 7, 2, 5, None)],
        "rejected": [
            (1, 5, "name", "name: expected text without NUL, found nothing", b",2021-04-01"),
            (1, 6, "day", "day: expected a date YYYY-MM-DD", b"d,April"),
            (1, 7, None, "expected 2 fields, found 1", b"e"),
            (1, 8, None, "expected 2 fields, found 3", b"f,2021-04-02,"),
            (1, 10, None, "not UTF-8", b"\xff,"),
        ],
    }
    assert (receipt.status, receipt.load_id, receipt.table, receipt.partition) == ("loaded", 1, THINGS.table, "2021-04")
    assert (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == (7, 2, 5)
    assert sorted(receipt.reasons) == sorted((row[3], 1) for row in state(postgres)["rejected"])
    assert postgres.execute("SELECT flow_run_id::text FROM ledger.loads").fetchall() == [(A_RUN,)]


def test_loaded_version_is_skipped(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,\nb\n")
    first = load(postgres, source)
    before = state(postgres)
    again = load(postgres, source)
    assert again.status == "unchanged"
    assert (again.load_id, again.rows_read, again.rows_loaded, again.rows_rejected) == (1, 2, 1, 1)
    assert (again.reasons, again.source_version) == (first.reasons, first.source_version)
    assert state(postgres) == before


@pytest.mark.every_store
def test_loaded_version_that_is_delivered_again_is_skipped(postgres: warehouse.Connection) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    assert load(postgres, put(HEADER + b"a,\n")).status == "unchanged"


def test_unchanged_object_is_not_even_read(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,\n")
    load(postgres, source)
    client().delete_object(Bucket=lake().bucket, Key="2021/04/things.csv")
    assert load(postgres, source).status == "unchanged"


@pytest.mark.every_store
def test_new_version_replaces_only_the_rows_of_its_object(postgres: warehouse.Connection) -> None:
    put_days = [put(HEADER + name + b",\n", f"2021/04/{name.decode()}.csv") for name in (b"a", b"b")]
    other_month = put(HEADER + b"m,\n", "2021/05/things.csv", "2021-05")
    for source in (*put_days, other_month):
        load(postgres, source)
    changed = put(HEADER + b"A,\nAA,\nbad\n", "2021/04/a.csv")
    receipt = load(postgres, changed)
    assert (receipt.status, receipt.load_id) == ("replaced", 4)
    assert (names(postgres), names(postgres, "2021-05")) == (["A", "AA", "b"], ["m"])
    entries = [(row[0], row[5], row[9]) for row in state(postgres)["loads"]]
    assert entries == [(1, "superseded", 4), (2, "loaded", None), (3, "loaded", None), (4, "loaded", None)]


def test_earlier_version_can_be_loaded_again(postgres: warehouse.Connection) -> None:
    for data in (b"a,\n", b"b,\n", b"a,\n"):
        load(postgres, put(HEADER + data))
    assert names(postgres) == ["a"]
    assert [row[5] for row in state(postgres)["loads"]] == ["superseded", "superseded", "loaded"]


def test_force_loads_the_same_content_again(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,\nb\n")
    load(postgres, source)
    receipt = load(postgres, source, force=True)
    assert (receipt.status, receipt.load_id) == ("replaced", 2)
    assert state(postgres)["things"] == [("2021-04-01", 2, "a", None)]


@pytest.mark.parametrize("data", [b"", HEADER, b"\n", b"\xef\xbb\xbf" + HEADER])
def test_object_without_rows_is_entered_and_replaces_with_force(postgres: warehouse.Connection, data: bytes) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    before = state(postgres)
    with pytest.raises(ShrinkError, match=r"at least 1 rows to replace the 1 rows in things.*found 0 rows.*with force"):
        load(postgres, put(data), settings=STRICT)
    assert state(postgres) == before
    receipt = load(postgres, ref(), settings=STRICT, force=True)
    assert (receipt.status, receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == ("replaced", 0, 0, 0)
    assert state(postgres)["things"] == []
    assert load(postgres, ref()).status == "unchanged"


def test_header_with_a_nul_is_entered_printable(postgres: warehouse.Connection) -> None:
    assert load(postgres, put(b"name,day,ex\0tra\na,,1\n")).rows_loaded == 1
    assert postgres.execute("SELECT columns FROM ledger.loads").fetchall() == [(["name", "day", r"ex\x00tra"],)]


def test_object_without_rows_is_loaded_where_it_replaces_none(postgres: warehouse.Connection) -> None:
    assert load(postgres, put(HEADER)).status == "loaded"
    assert load(postgres, put(b"")).status == "replaced"


def test_object_with_only_rejected_rows_replaces_no_rows(postgres: warehouse.Connection) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    before = state(postgres)
    with pytest.raises(ShrinkError, match="found 0 rows"):
        load(postgres, put(HEADER + b"a,x\n"))
    assert state(postgres) == before


def test_contract_may_allow_an_object_without_rows(postgres: warehouse.Connection) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    assert load(postgres, put(HEADER), contract=replace(THINGS, may_shrink=True)).rows_loaded == 0


@pytest.mark.parametrize(("share", "rows", "is_taken"), [(0.5, 2, True), (0.5, 1, False), (1, 4, True), (1, 3, False)])
def test_setting_bounds_how_much_a_replacement_may_shrink(
    postgres: warehouse.Connection, share: float, rows: int, is_taken: bool
) -> None:
    load(postgres, put(HEADER + b"a,\nb,\nc,\nd,\n"))
    source, kept = put(HEADER + b"x,\n" * rows), RunSettings(min_kept_share=share)
    if is_taken:
        assert load(postgres, source, settings=kept).rows_loaded == rows
        return
    with pytest.raises(ShrinkError, match=rf"the 4 rows in things.*found {rows} rows.*MIN_KEPT_SHARE"):
        load(postgres, source, settings=kept)
    assert names(postgres) == ["a", "b", "c", "d"]
    assert load(postgres, source, settings=kept, force=True).rows_loaded == rows


@pytest.mark.every_store
def test_object_in_several_chunks_is_loaded_whole(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 1000)
    data = HEADER + b"".join(b'"%05d\n",2021-04-01\n' % number for number in range(2000))
    seen: list[tuple[int, int]] = []
    receipt = load(postgres, put(data), on_progress=lambda bytes_read, rows: seen.append((bytes_read, rows)))
    assert (receipt.rows_loaded, len(names(postgres))) == (2000, 2000)
    assert seen == sorted(seen)
    assert seen[-1] == (len(data), 2000)


def budget(rows: int, share: float) -> RunSettings:
    return RunSettings(max_rejected_rows=rows, max_rejected_share=share)


@pytest.mark.parametrize(
    ("bad", "settings", "is_loaded"),
    [
        (2, budget(3, 0), True),
        (3, budget(3, 0), True),
        (4, budget(3, 0), False),
        (20, budget(0, 0.2), True),
        (21, budget(0, 0.2), False),
        (10, budget(10, 0.01), True),
        (10, budget(1, 0.1), True),
        (1, budget(0, 0), False),
        (0, budget(0, 0), True),
        (100, budget(0, 1), True),
    ],
)
def test_error_budget_is_the_greater_of_count_and_share(
    postgres: warehouse.Connection, bad: int, settings: RunSettings, is_loaded: bool
) -> None:
    source = put(HEADER + b"bad\n" * bad + b"good,\n" * (100 - bad))
    if is_loaded:
        assert load(postgres, source, settings=settings).rows_rejected == bad
    else:
        with pytest.raises(ErrorBudgetError, match=f"{bad} of 100 rows were rejected"):
            load(postgres, source, settings=settings)
        assert state(postgres) == {"things": [], "loads": [], "rejected": []}


def test_load_over_the_budget_keeps_the_previous_state_and_names_the_reason(postgres: warehouse.Connection) -> None:
    load(postgres, put(HEADER + b"a,\nbad\n"))
    before = state(postgres)
    source = put(HEADER + b"x,soon\n" * 5 + b"y\n" + b"z,\n")
    with pytest.raises(ErrorBudgetError) as caught:
        load(postgres, source, settings=budget(2, 0))
    assert str(caught.value) == (
        f"{source.uri}: at least 6 of 7 rows were rejected, the error budget is 2 (MAX_REJECTED_ROWS,"
        " MAX_REJECTED_SHARE); the rest of the object was not read, because it cannot change the result. The table"
        " keeps its previous rows. The reasons:\n"
        "  5 x day: expected a date YYYY-MM-DD; e.g. line 2 'x,soon', line 3 'x,soon', line 4 'x,soon'\n"
        "  1 x expected 2 fields, found 1; e.g. line 7 'y'\n"
        "Correct the object, or raise the budget if these rows may be missing"
    )
    assert state(postgres) == before


def test_more_rejected_rows_than_are_held_keep_their_lines_and_counts(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "REJECTED_BUFFER", 7)
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 64)
    lines = [b"%d,soon" % n if n % 3 == 0 else b"%d" % n if n % 3 == 1 else b"%d," % n for n in range(300)]
    receipt = load(postgres, put(HEADER + b"\n".join(lines)))
    assert (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected) == (300, 100, 200)
    kept = postgres.execute("SELECT line_number, raw FROM ledger.rejected_rows ORDER BY line_number").fetchall()
    assert kept == [(n + 2, line) for n, line in enumerate(lines) if n % 3 != 2]
    assert receipt.reasons == (("day: expected a date YYYY-MM-DD", 100), ("expected 2 fields, found 1", 100))


def test_unknown_columns_are_reported_and_not_loaded(postgres: warehouse.Connection) -> None:
    receipt = load(postgres, put(b"extra,day,name,more\n1,2021-04-01,a,2\n"))
    assert receipt.unknown_columns == ("extra", "more")
    assert state(postgres)["things"] == [("2021-04-01", 1, "a", "2021-04-01")]


@pytest.mark.parametrize(
    ("data", "key", "error"),
    [
        (b"a,2021-04-01\n", "2021/04/things.csv", ContractError),
        (b"name,day,name\n", "2021/04/things.csv", ContractError),
        (b"no gzip", "2021/04/things.csv.gz", UnreadableObjectError),
        (HEADER, "2021/04/things.txt", ContractError),
    ],
)
def test_unreadable_object_leaves_no_rows(
    postgres: warehouse.Connection, data: bytes, key: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=key.rsplit("/", maxsplit=1)[-1]):
        load(postgres, put(data, key))
    assert state(postgres) == {"things": [], "loads": [], "rejected": []}


@pytest.mark.every_store
def test_object_that_changed_since_it_was_listed_is_not_loaded(postgres: warehouse.Connection) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    before = state(postgres)
    listed = put(HEADER + b"b,\n")
    put(HEADER + b"c,\n")
    with pytest.raises(ObjectChangedError, match=r"s3://.*things.csv"):
        load(postgres, listed)
    assert state(postgres) == before
    assert load(postgres, ref()).status == "replaced"
    assert names(postgres) == ["c"]


@pytest.mark.every_store
def test_object_that_changes_in_mid_read_is_loaded_as_one_version_or_not_at_all(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_reader, "PARQUET_ROWS", 1000)
    source = put(parquet_of(30_000), "2021/04/things.parquet")

    def replace(_: int, rows: int) -> None:
        if rows == 1000:
            put(parquet_of(10), "2021/04/things.parquet")

    with pytest.raises(ObjectChangedError):
        load(postgres, source, on_progress=replace)
    assert state(postgres) == {"things": [], "loads": [], "rejected": []}


def parquet_of(rows: int) -> bytes:
    sink = io.BytesIO()
    values = pa.array([os.urandom(100).hex() for _ in range(rows)])
    table = pa.table({"name": values, "day": pa.array([None] * rows, pa.string())})
    pq.write_table(table, sink, row_group_size=1000)
    return sink.getvalue()


@pytest.mark.every_store
def test_object_that_is_gone_is_an_error(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,\n")
    client().delete_object(Bucket=lake().bucket, Key="2021/04/things.csv")
    with pytest.raises(LakeError, match="NoSuchKey"):
        load(postgres, source)
    assert state(postgres)["loads"] == []


def test_crash_in_mid_load_leaves_the_previous_state(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(postgres, put(HEADER + b"a,\nbad\n"))
    before = state(postgres)
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 100)
    source = put(HEADER + b"x,\nbad\n" * 1000)

    def crash(_: int, rows: int) -> None:
        if rows > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(postgres, source, on_progress=crash)
    assert state(postgres) == before
    assert load(postgres, source).rows_loaded == 1000


def test_lost_connection_in_mid_load_leaves_the_previous_state(
    database: str, postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    before = state(postgres)
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 100)
    source = put(HEADER + b"x,\n" * 2000)

    def kill(_: int, rows: int) -> None:
        if rows > 500:
            with psycopg.connect(database, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [postgres.info.backend_pid])

    with pytest.raises(WarehouseUnavailableError, match=r"things_staging.things, s3://"):
        load(postgres, source, on_progress=kill)
    with connection() as fresh:
        assert state(fresh) == before
        assert load(fresh, source).rows_loaded == 2000


def test_readers_see_the_old_rows_until_the_new_ones_are_whole(
    database: str, postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(postgres, put(HEADER + b"a,\n"))
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 100)
    seen = set()
    with psycopg.connect(database, autocommit=True) as other:
        load(
            postgres,
            put(HEADER + b"x,\n" * 1000),
            on_progress=lambda _, rows: seen.add(tuple(names(other))) if rows % 10 == 0 else None,
        )
        assert seen == {("a",)}
        assert len(names(other)) == 1000


def loads_at_once(sources: list[ObjectRef]) -> list[str]:
    gate = threading.Barrier(len(sources))

    def one(source: ObjectRef) -> str:
        with connection(f"run of {source.partition}") as own:
            gate.wait(10)
            return load(own, source).status

    with ThreadPoolExecutor(len(sources)) as pool:
        return sorted(pool.map(one, sources))


def test_two_loads_of_one_month_at_once_load_it_once(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,\n" * 5000)
    assert loads_at_once([source, source]) == ["loaded", "unchanged"]
    assert (len(names(postgres)), len(state(postgres)["loads"])) == (5000, 1)


def test_concurrent_loads_of_different_months_all_succeed(postgres: warehouse.Connection) -> None:
    months = [f"2021-{number:02d}" for number in range(1, 7)]
    sources = [put(HEADER + f"{month},\n".encode() * 500, f"{month}.csv", month) for month in months]
    assert loads_at_once(sources) == ["loaded"] * 6
    assert [names(postgres, month) for month in months] == [[month] * 500 for month in months]


def test_load_of_a_month_continues_while_another_month_is_loaded(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "2s")
    other = put(HEADER + b"b,\n", "2021/05/things.csv", "2021-05")
    statuses = []

    def load_other(_: int, __: int) -> None:
        with connection() as own:
            statuses.append(load(own, other).status)

    load(postgres, put(HEADER + b"a,\n"), on_progress=load_other)
    assert statuses[0] == "loaded"


def test_lock_timeout_names_the_holder_of_the_month(
    postgres: warehouse.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "200ms")
    source = put(HEADER + b"a,\n")
    caught: list[str] = []

    def load_again(_: int, __: int) -> None:
        if not caught:
            with connection("the second") as own, pytest.raises(PartitionBusyError) as refused:
                load(own, source)
            caught.append(str(refused.value))

    load(postgres, source, on_progress=load_again)
    assert (
        f"things 2021-04 is being written by process {postgres.info.backend_pid} (test), connected since 20"
        in caught[0]
    )
    assert "waited 200ms" in caught[0]


def test_object_that_changed_its_partition_leaves_no_old_rows(postgres: warehouse.Connection) -> None:
    source = put(HEADER + b"a,2021-03-31\n")
    load(postgres, source)
    receipt = load(postgres, replace(source, partition="2021-05"), force=True)
    assert receipt.status == "replaced"
    assert state(postgres)["things"] == [("2021-05-01", 2, "a", "2021-03-31")]
