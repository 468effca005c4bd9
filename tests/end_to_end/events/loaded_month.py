"""The deployment that the tests run, and what it must have loaded."""

from collections import Counter

import psycopg
from events_oracle import EventsFile

DEPLOYMENT = "events-monthly/events-monthly"


def assert_loaded_once(database: str, expected: EventsFile) -> None:
    with psycopg.connect(database) as connection:
        loads = connection.execute("select status, rows_read, rows_loaded, rows_rejected from ledger.loads").fetchall()
        assert loads == [("loaded", expected.rows_read, expected.rows_loaded, len(expected.rejected))]
        ids = connection.execute("select id from events_staging.events").fetchall()
        assert sorted(row[0] for row in ids) == sorted(row.id for row in expected.rows)
        rejected = connection.execute("select line_number, column_name from ledger.rejected_rows order by 1").fetchall()
        assert rejected == [(row.line_number, row.column) for row in expected.rejected]
        for group in ("country", "user", "company", "date", "tag"):
            column = {"user": "email", "date": "event_date::text"}.get(group, group)
            mart = connection.execute(f"select {column}, event_count from events_marts.event_counts_by_{group}")
            found: Counter[str] = Counter(dict(mart.fetchall()))
            assert (found - expected.counts(group), expected.counts(group) - found) == (Counter(), Counter()), group
