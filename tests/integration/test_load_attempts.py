"""Every attempt to load an object is recorded, and a load that cannot meet its error budget stops early."""

import gzip
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from forks import Fork
from sample_dataset import HEADER, STRICT, THINGS, TOLERANT, connection, lake, load, put, ready_connection, ref

from tasks.engine.errors import (
    ContractError,
    ErrorBudgetError,
    ObjectChangedError,
    PartitionBusyError,
    UnreadableObjectError,
    WarehouseUnavailableError,
)
from tasks.engine.load.loader import load_object
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse import locks
from tasks.engine.warehouse.tables import Connection, lock

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

COLUMNS = (
    "status",
    "load_id",
    "rows_read",
    "rows_loaded",
    "rows_rejected",
    "reasons",
    "examples",
    "error_class",
    "error_message",
)


@pytest.fixture
def warehouse(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket
    with ready_connection() as opened:
        yield opened


def attempts() -> list[dict[str, Any]]:
    with connection() as opened:
        rows = opened.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger.load_attempts ORDER BY attempt_id")
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_successful_load_ends_its_attempt_and_the_same_content_again_makes_none(warehouse: Connection) -> None:
    source = put(HEADER + b"a,2021-04-01\nb,never\n")
    receipt = load(warehouse, source)
    assert load(warehouse, source).status == "unchanged"
    (attempt,) = attempts()
    assert (attempt["status"], attempt["load_id"], attempt["error_class"]) == ("loaded", receipt.load_id, None)
    assert (attempt["rows_read"], attempt["rows_loaded"], attempt["rows_rejected"]) == (2, 1, 1)
    (reason,) = attempt["reasons"]
    assert attempt["reasons"] == {reason: 1}
    (example,) = attempt["examples"]
    assert (example["line_number"], example["column_name"], example["text"]) == (3, "day", "b,never")
    assert bytes.fromhex(example["raw"]) == b"b,never"


def test_load_over_its_budget_keeps_counts_reasons_and_bounded_examples(warehouse: Connection) -> None:
    huge = b"x" * 100_000
    rows = b"".join(b"%s\0,%d\n" % (huge, n) for n in range(5)) + b"a,2021-04-01\n"
    with pytest.raises(ErrorBudgetError):
        load(warehouse, put(HEADER + rows), settings=STRICT)
    (attempt,) = attempts()
    assert (attempt["status"], attempt["error_class"]) == ("failed", "ErrorBudgetError")
    assert attempt["rows_loaded"] == 0
    assert attempt["rows_rejected"] == 5
    assert attempt["reasons"] == {"NUL byte": 5}
    assert len(attempt["examples"]) == 3
    assert len(json.dumps(attempt["examples"])) < 10_000
    assert "5 x NUL byte" in attempt["error_message"]
    assert warehouse.execute("SELECT count(*) FROM ledger.rejected_rows").fetchone() == (0,)


@pytest.mark.parametrize(
    ("data", "key", "kind"),
    [
        (b"na\0me,dag\nx,y\n", "2021/04/things.csv", ContractError),
        (gzip.compress(HEADER + b"a,2021-04-01\n", mtime=0)[:-9], "2021/04/things.csv.gz", UnreadableObjectError),
    ],
)
def test_object_that_cannot_be_read_leaves_its_reason(
    warehouse: Connection, data: bytes, key: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        load(warehouse, put(data, key))
    (attempt,) = attempts()
    assert (attempt["status"], attempt["error_class"]) == ("failed", kind.__name__)
    assert key in attempt["error_message"]


def test_object_that_changed_leaves_an_attempt_and_the_retry_another(warehouse: Connection) -> None:
    old = put(HEADER + b"a,2021-04-01\n")
    new = put(HEADER + b"b,2021-04-01\n")
    with pytest.raises(ObjectChangedError):
        load(warehouse, old)
    load(warehouse, new)
    assert [attempt["status"] for attempt in attempts()] == ["failed", "loaded"]


def test_busy_partition_leaves_an_attempt(warehouse: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_WAIT", "10ms")
    source = put(HEADER + b"a,2021-04-01\n")
    with connection("other") as other, other.transaction():
        lock(other, "things 2021-04")
        with pytest.raises(PartitionBusyError):
            load(warehouse, source)
    (attempt,) = attempts()
    assert (attempt["status"], attempt["error_class"]) == ("failed", "PartitionBusyError")


@pytest.mark.parametrize("can_reconnect", [True, False])
def test_lost_connection_is_recorded_by_another_one_and_never_hides_the_error(
    warehouse: Connection, can_reconnect: bool
) -> None:
    source = put(HEADER + b"a,2021-04-01\n" * 200_000)

    def cut(_bytes: int, _rows: int) -> None:
        with psycopg.connect(os.environ["WAREHOUSE_DSN"], autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [warehouse.info.backend_pid])

    reconnect = connection if can_reconnect else None
    with pytest.raises(WarehouseUnavailableError):
        load_object(warehouse, lake(), THINGS, source, TOLERANT, on_progress=cut, reconnect=reconnect)
    expected = ("failed", "WarehouseUnavailableError") if can_reconnect else ("started", None)
    (attempt,) = attempts()
    assert (attempt["status"], attempt["error_class"]) == expected
    with connection() as again:
        load(again, source)
    assert [attempt["status"] for attempt in attempts()] == ["failed" if can_reconnect else "died", "loaded"]


def load_and_die(_pipe: object) -> None:
    with connection() as opened:
        load(opened, ref(), on_progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def test_attempt_of_a_killed_process_is_ended_by_the_next_one(warehouse: Connection) -> None:
    source = put(HEADER + b"a,2021-04-01\n" * 200_000)
    process = Fork(load_and_die)
    process.wait_until_dead()
    process.kill()
    assert [attempt["status"] for attempt in attempts()] == ["started"]
    # The load waits for the lock, which the killed process' session holds until Postgres misses it.
    load(warehouse, source)
    assert [attempt["status"] for attempt in attempts()] == ["died", "loaded"]


def read_bytes(warehouse: Connection, source: ObjectRef, settings: RunSettings) -> int:
    """Return the number of bytes that were read until a load was refused."""
    read = 0
    store = lake()
    opened = store.open

    class Counting:
        def open(self, source: ObjectRef, on_bytes: Any, *, is_seekable: bool) -> Any:
            assert not is_seekable

            def both(count: int) -> None:
                nonlocal read
                read += count
                on_bytes(count)

            return opened(source, both)

    with pytest.raises(ErrorBudgetError, match="it cannot change the result"):
        load_object(warehouse, Counting(), THINGS, source, settings)  # type: ignore[arg-type]
    return read


BAD = b"some name that is quite long to make the row longer,never\n"


@pytest.mark.parametrize(
    ("settings", "key", "most"),
    [
        (STRICT, "2021/04/things.csv", 0.35),
        (RunSettings(), "2021/04/things.csv", 0.5),
        (STRICT, "2021/04/things.csv.gz", 1.0),
        (RunSettings(), "2021/04/things.ndjson", 0.35),
    ],
)
def test_file_of_many_bad_rows_is_not_read_to_its_end(
    warehouse: Connection, settings: RunSettings, key: str, most: float
) -> None:
    data = HEADER + BAD * 400_000
    if key.endswith(".ndjson"):
        data = b'{"name": "some name that is quite long, as above", "day": "never"}\n' * 400_000
    source = put(gzip.compress(data, 1) if key.endswith(".gz") else data, key)
    read = read_bytes(warehouse, source, settings)
    assert read <= source.size_bytes * most
    (attempt,) = attempts()
    assert attempt["status"] == "failed"
    assert attempt["rows_rejected"] < 300_000
    assert warehouse.execute("SELECT count(*) FROM ledger.rejected_rows").fetchone() == (0,)


@pytest.mark.parametrize("key", ["2021/04/things.csv", "2021/04/things.csv.gz", "2021/04/things.ndjson"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_load_whose_good_rows_come_last_is_not_refused(warehouse: Connection, key: str, share: float) -> None:
    """The estimate of further rows counts all of the shortest possible valid rows."""
    bad, good = b"x,never-never\n", b"a,\n"
    if key.endswith(".ndjson"):
        bad, good = b'{"name":"x","day":"never"}\n', b'{"name":"","day":""}\n'
    good_count = 5_000
    invalid_count = int(good_count * share / (1 - share)) if share < 1 else 5_000
    data = bad * invalid_count + good * good_count
    data = data if key.endswith(".ndjson") else HEADER + data
    source = put(gzip.compress(data) if key.endswith(".gz") else data, key)
    settings = RunSettings(max_rejected_rows=0, max_rejected_share=share, load_memory_mb=286)
    receipt = load(warehouse, source, settings=settings)
    assert (receipt.rows_loaded, receipt.rows_rejected) == (good_count, invalid_count)
