"""The replay of rejected rows, in a real Postgres."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from sample_dataset import HEADER, THINGS, connection, load, names, put, ready_connection, state

from tasks.contracts import Column, Contract
from tasks.contracts.formats import Csv
from tasks.contracts.spelling import Spelling
from tasks.contracts.types import DATE, TEXT
from tasks.engine.errors import ContractError
from tasks.engine.ledger import loads_of
from tasks.engine.load import rejections
from tasks.engine.load.rejections import count_rejections, rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.receipts import ReplayReceipt
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]


def lenient_date(text: str | None) -> str | None:
    return text and text.replace("/", "-")


FIXED = replace(
    THINGS, columns=(THINGS.columns[0], Column("seen_date", DATE, "Day.", source="day", derive=lenient_date))
)
DATA = HEADER + b'a,2021-04-01\n"b\nb",2021/04/02\nc,April\n"d""d",2021/04/03\n,2021-04-04\ne\nf"x,2021/04/05\n'


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def replay(postgres: Connection, contract: Contract = FIXED, partition: str | None = None) -> list[ReplayReceipt]:
    loads = rejected_loads(postgres, contract.dataset, partition)
    return [replay_load(postgres, contract, one) for one in loads]


def things(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute(
        "SELECT coalesce(name, ''), seen_date, load_id FROM things_staging.things ORDER BY load_id, 1"
    ).fetchall()


def resolved(postgres: Connection) -> list[tuple[Any, ...]]:
    return postgres.execute(
        "SELECT load_id, line_number, resolved_by FROM ledger.rejected_rows ORDER BY rejected_row_id"
    ).fetchall()


def check_balance(postgres: Connection) -> None:
    """Verify that the table has the rows of every current load, and that every row is loaded, replayed or open."""
    errors = postgres.execute(
        "SELECT l.load_id FROM ledger.loads l WHERE CASE WHEN l.status = 'loaded' THEN l.rows_loaded ELSE 0 END <>"
        " (SELECT count(*) FROM things_staging.things t WHERE t.load_id = l.load_id)"
    ).fetchall()
    assert errors == []
    open_rows = postgres.execute(
        "SELECT l.load_id FROM ledger.loads l WHERE l.status = 'loaded' AND l.replay_of IS NULL AND l.rows_read <>"
        " l.rows_loaded"
        " + (SELECT coalesce(sum(r.rows_loaded), 0) FROM ledger.loads r WHERE r.replay_of = l.load_id)"
        " + (SELECT count(*) FROM ledger.rejected_rows x WHERE x.load_id = l.load_id AND x.resolved_by IS NULL)"
    ).fetchall()
    assert open_rows == []


def test_rows_that_are_valid_for_the_fixed_contract_are_loaded_and_resolved(postgres: Connection) -> None:
    first = load(postgres, put(DATA))
    assert (first.rows_loaded, first.rows_rejected) == (1, 6)
    (receipt,) = replay(postgres)
    assert (receipt.replay_of, receipt.rows_loaded, receipt.rows_left) == (first.load_id, 3, 3)
    assert sorted(receipt.reasons) == [
        ("day: expected a date YYYY-MM-DD", 1),
        ("expected 2 fields, found 1", 1),
        ("name: expected text without NUL, found nothing", 1),
    ]
    assert things(postgres) == [
        ("a", date(2021, 4, 1), first.load_id),
        ("b\nb", date(2021, 4, 2), receipt.load_id),
        ('d"d', date(2021, 4, 3), receipt.load_id),
        ('f"x', date(2021, 4, 5), receipt.load_id),
    ]
    new = receipt.load_id
    assert resolved(postgres) == [(1, 3, new), (1, 5, None), (1, 6, new), (1, 7, None), (1, 8, None), (1, 9, new)]
    entry = postgres.execute(
        "SELECT status, rows_read, rows_loaded, rows_rejected, replay_of, source_uri, partition, columns"
        " FROM ledger.loads ORDER BY load_id"
    ).fetchall()
    uri = first.source_uri
    assert entry == [
        ("loaded", 7, 1, 6, None, uri, "2021-04", ["name", "day"]),
        ("loaded", 3, 3, 0, 1, uri, "2021-04", ["name", "day"]),
    ]
    check_balance(postgres)


def test_second_replay_does_nothing(postgres: Connection) -> None:
    load(postgres, put(DATA))
    replay(postgres)
    before = (state(postgres), resolved(postgres))
    (again,) = replay(postgres)
    assert (again.load_id, again.rows_loaded, again.rows_left) == (None, 0, 3)
    assert (state(postgres), resolved(postgres)) == before


def test_replay_with_the_same_contract_does_nothing(postgres: Connection) -> None:
    load(postgres, put(DATA))
    before = state(postgres)
    (receipt,) = replay(postgres, THINGS)
    assert (receipt.load_id, receipt.rows_loaded, receipt.rows_left) == (None, 0, 6)
    assert state(postgres) == before


def test_second_fix_loads_the_remaining_rows(postgres: Connection) -> None:
    load(postgres, put(DATA))
    replay(postgres)
    april = Column("seen_date", DATE, "Day.", source="day", derive=lambda _: "2021-04-30")
    (receipt,) = replay(postgres, replace(FIXED, columns=(FIXED.columns[0], april)))
    assert (receipt.rows_loaded, receipt.rows_left) == (1, 2)
    check_balance(postgres)


def test_corrected_bytes_are_loaded(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,\ne\n"))
    postgres.execute("UPDATE ledger.rejected_rows SET raw = 'e,2021-04-06'")
    (receipt,) = replay(postgres, THINGS)
    assert (receipt.rows_loaded, names(postgres)) == (1, ["a", "e"])


def test_bytes_that_became_two_records_are_not_loaded(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,\ne\n"))
    postgres.execute("UPDATE ledger.rejected_rows SET raw = E'e,\\nf,'")
    (receipt,) = replay(postgres, THINGS)
    assert (receipt.rows_loaded, receipt.reasons) == (0, (("expected exactly one record", 1),))


@pytest.mark.parametrize("force", [False, True])
def test_object_that_is_delivered_again_supersedes_its_replays(postgres: Connection, force: bool) -> None:
    other = load(postgres, put(HEADER + b"x,2021/01/01\ny,\n", "2021/04/other.csv"))
    load(postgres, put(DATA))
    replay(postgres)
    assert len(things(postgres)) == 6
    corrected = load(postgres, put(DATA if force else DATA.replace(b"/", b"-")), contract=FIXED, force=force)
    assert corrected.status == "replaced"
    assert [name for name, _, load_id in things(postgres) if load_id == corrected.load_id] == [
        "a",
        "b\nb",
        'd"d',
        'f"x',
    ]
    assert len(things(postgres)) == 6  # the rows of the other object stay, including its replayed row
    entries = postgres.execute(
        "SELECT load_id, status, replay_of, superseded_by FROM ledger.loads ORDER BY load_id"
    ).fetchall()
    new = corrected.load_id
    assert entries == [
        (other.load_id, "loaded", None, None), (2, "superseded", None, new), (3, "loaded", 1, None),
        (4, "superseded", 2, new), (new, "loaded", None, None),
    ]  # fmt: skip
    check_balance(postgres)


def test_same_content_delivered_again_keeps_its_replays(postgres: Connection) -> None:
    load(postgres, put(DATA))
    replay(postgres)
    before = state(postgres)
    assert load(postgres, put(DATA)).status == "unchanged"
    assert state(postgres) == before


def test_superseded_loads_are_not_replayed(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"a,2021/04/01\n"))
    load(postgres, put(HEADER + b"b,2021-04-01\n"))
    assert replay(postgres) == []


def test_replay_is_of_its_partition_and_changes_what_derives_from_it(postgres: Connection) -> None:
    for month in ("2021-04", "2021-05"):
        load(postgres, put(HEADER + b"a,2021/04/01\n", f"{month}.csv", month))
    before = [loads_of(postgres, ["things"], month) for month in ("2021-04", "2021-05")]
    (receipt,) = replay(postgres, partition="2021-05")
    after = [loads_of(postgres, ["things"], month) for month in ("2021-04", "2021-05")]
    assert (receipt.partition, names(postgres), names(postgres, "2021-05")) == ("2021-05", [], ["a"])
    assert after == [before[0], [*before[1], receipt.load_id]]


def test_header_of_the_object_names_its_fields(postgres: Connection) -> None:
    load(postgres, put(b"x,day,name\n1,2021/04/01,a\n"))
    replay(postgres)
    assert things(postgres)[0][:2] == ("a", date(2021, 4, 1))


def test_contract_with_a_column_that_the_object_lacks_is_refused(postgres: Connection) -> None:
    load(postgres, put(DATA))
    before = state(postgres)
    grown = replace(FIXED, columns=(*FIXED.columns, Column("place", TEXT, "Place.")))
    postgres.execute("ALTER TABLE things_staging.things ADD place text")
    with pytest.raises(ContractError, match="missing place"):
        replay(postgres, grown)
    assert state(postgres) == before


def test_records_of_json_are_replayed(postgres: Connection) -> None:
    lines = (
        b'{"name": "a", "day": null}\n{"day": "2021/04/01", "name": "b\\n"}\n{"name": 1}\n{"name": "c", "day": 1}\n{'
    )
    document = b'[{"name": "a", "day": null}, {"name": "d", "day": "2021/04/01"}, {"name": "e", "day": "x"}]'
    load(postgres, put(lines, "2021/04/x.ndjson"))
    load(postgres, put(document, "2021/04/x.json"))
    receipts = replay(postgres)
    assert [(x.rows_loaded, x.rows_left) for x in receipts] == [(1, 2), (1, 1)]
    assert sorted(name for name, _, _ in things(postgres)) == ["1", "a", "a", "b\n", "d"]
    check_balance(postgres)


def test_rows_of_parquet_are_replayed(postgres: Connection) -> None:
    table = pl.DataFrame({"name": ["a", "b", "c"], "day": ["2021-04-01", "2021/04/02", "x"], "n": [1, 2, 3]})
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    load(postgres, put(buffer.getvalue(), "2021/04/x.parquet"))
    (receipt,) = replay(postgres)
    assert (receipt.rows_loaded, receipt.rows_left, names(postgres)) == (1, 1, ["a", "b"])


def test_many_rows_are_replayed_some_at_a_time(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "REPLAYED_TOGETHER", 7)
    load(postgres, put(HEADER + b"".join(b"%d,2021/04/%02d\n" % (n, n % 33) for n in range(100))))
    (receipt,) = replay(postgres)
    assert (receipt.rows_loaded, receipt.rows_left) == (90, 10)
    check_balance(postgres)


def test_two_replays_at_once_load_the_rows_once(postgres: Connection) -> None:
    load(postgres, put(DATA))
    (one,) = rejected_loads(postgres, "things", None)
    started = threading.Barrier(2)

    def run() -> ReplayReceipt:
        with connection("other") as opened:
            started.wait(10)
            return replay_load(opened, FIXED, one)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run) for _ in range(2)]
        taken = sorted(future.result(30).rows_loaded for future in futures)
    assert taken == [0, 3]
    check_balance(postgres)


def test_replay_that_waited_for_its_object_to_be_replaced_does_nothing(postgres: Connection) -> None:
    load(postgres, put(DATA))
    (one,) = rejected_loads(postgres, "things", None)
    with connection("other") as other, ThreadPoolExecutor(1) as pool:
        with postgres.transaction():
            load(postgres, put(HEADER + b"z,\n"))
            future = pool.submit(replay_load, other, FIXED, one)
            with pytest.raises(TimeoutError):
                future.result(0.5)
        assert (future.result(30).rows_loaded, names(postgres)) == (0, ["z"])


def test_rejections_are_counted_by_reason_with_open_examples_first(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "shown_datasets", lambda: ["things"])
    receipt = load(postgres, put(HEADER + b"a,x\nb,2021/04/01\nc,y\nd\n"))
    replay(postgres)
    day, width = count_rejections(postgres, [receipt.load_id])
    assert (day.reason, day.row_count, day.open_count) == ("day: expected a date YYYY-MM-DD", 3, 2)
    assert [(line, raw) for _, line, raw in day.examples] == [(2, b"a,x"), (4, b"c,y"), (3, b"b,2021/04/01")]
    assert (width.row_count, width.open_count, width.examples) == (1, 1, ((receipt.load_id, 5, b"d"),))


def test_raw_bytes_of_a_dataset_that_may_be_sensitive_are_no_examples(postgres: Connection) -> None:
    receipt = load(postgres, put(HEADER + b"a,x\n"))
    assert count_rejections(postgres, [receipt.load_id])[0].examples == ((receipt.load_id, 2, None),)


def parquet_of_days(*texts: str) -> bytes:
    sink = io.BytesIO()
    pl.DataFrame({"name": ["a"] * len(texts), "day": texts}).write_parquet(sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("key", "data", "form"),
    [
        ("things.txt", b"# export\nname;day\n'a';'05.04.2021'\na;NA\na;31.02.2021\n", Csv(";", "'", comment="#")),
        (
            "things.ndjson",
            b'{"name":"a","day":"05.04.2021"}\n{"name":"a","day":"NA"}\n{"name":"a","day":"31.02.2021"}\n',
            None,
        ),
        ("things.parquet", parquet_of_days("05.04.2021", "NA", "31.02.2021"), None),
    ],
)
def test_null_markers_and_spellings_that_a_contract_gains_count_in_a_replay(
    postgres: Connection, key: str, data: bytes, form: Csv | None
) -> None:
    plain = replace(THINGS, format=form)
    assert load(postgres, put(data, key), contract=plain).rows_rejected == 3
    (receipt,) = replay(postgres, replace(plain, nulls=("NA",), spelling=Spelling(date="%d.%m.%Y")))
    assert (receipt.rows_loaded, receipt.rows_left) == (2, 1)
    assert {day for _, day, _ in things(postgres)} == {date(2021, 4, 5), None}
    check_balance(postgres)
