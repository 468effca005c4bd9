"""Loads of events by the engine, compared with an independent reader: a whole file, and replayed rows."""

import psycopg
import pytest
from events_oracle import read_events
from sample_dataset import load, put, ready_connection

from deployments.samples.events import events_csv
from tasks.contracts.events import EVENTS
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load

pytestmark = pytest.mark.usefixtures("database", "bucket")


@pytest.mark.every_store
def test_loaded_events_equal_the_oracle(database: str) -> None:
    data = b"".join(events_csv("2021-06", 3000, bad_rows=20))
    expected = read_events(data)
    with ready_connection(EVENTS) as postgres:
        receipt = load(postgres, put(data, "2021/06/things.csv", "2021-06"), contract=EVENTS)
        counts = (receipt.rows_read, receipt.rows_loaded, receipt.rows_rejected)
        assert counts == (expected.rows_read, expected.rows_loaded, len(expected.rejected)) == (3000, 2980, 20)
    with psycopg.connect(database) as other:
        rows = other.execute(
            "SELECT id, occurred_at, event_date, email, company, country, ip, uri, action, tags"
            " FROM events_staging.events"
        ).fetchall()
        rejected = other.execute("SELECT line_number, column_name, raw FROM ledger.rejected_rows ORDER BY 1").fetchall()
    assert sorted(map(repr, rows)) == sorted(
        repr((r.id, r.occurred_at, r.event_date, r.email, r.company, r.country, r.ip, r.uri, r.action,
              None if r.tags is None else list(r.tags)))
        for r in expected.rows
    )  # fmt: skip
    assert rejected == [(r.line_number, r.column, r.raw) for r in expected.rejected]


def test_events_are_replayed_with_all_their_types(database: str) -> None:
    del database
    row = b"%b,%b,a@acme.com,Palau,192.0.2.59,index,visit,\"['Mr', 'it''s']\"\n"
    ids = [b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d", b"d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5e"]
    data = b"id,timestamp,email,country,ip,uri,action,tags\n" + row % (ids[0], b"2021-04-01")
    data += row % (ids[1], b"2021/04/02")
    with ready_connection(EVENTS) as postgres:
        load(postgres, put(data), contract=EVENTS)
        postgres.execute("UPDATE ledger.rejected_rows SET raw = replace(encode(raw, 'escape'), '/', '-')::bytea")
        (rejected,) = rejected_loads(postgres, "events", None)
        receipt = replay_load(postgres, EVENTS, rejected)
        assert receipt.rows_loaded == 1
        rows = postgres.execute(
            "SELECT count(*), count(DISTINCT (email, company, country, ip, tags)) FROM events_staging.events"
        ).fetchall()
    assert rows == [(2, 1)]
