"""Validation with the events contract, compared with the oracle."""

import io

import pytest
from copied_rows import Validated, validated
from events_oracle import COLUMNS, read_events
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_dataset import words_of

from deployments.samples.events import events_csv, planned_bad_rows
from tasks.contracts.events import EVENTS
from tasks.engine.formats.reader import read_batches

ID = "d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d"
HEADER = ",".join(COLUMNS).encode() + b"\n"


def read(data: bytes) -> list[Validated]:
    return [validated(EVENTS, batch) for batch in read_batches(io.BufferedReader(io.BytesIO(data)), "x.csv", EVENTS)]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def test_every_planned_bad_row_of_the_sample_is_rejected_with_its_place() -> None:
    data = b"".join(events_csv("2021-04", 500, bad_rows=40))
    rejected = [row for result in read(data) for row in result.rejected]
    planned = planned_bad_rows("2021-04", 500, bad_rows=40)
    assert [(r.line_number, r.column_name, r.raw) for r in rejected] == [
        (p.line_number, p.column, p.raw) for p in planned
    ]


cells = {
    "id": st.sampled_from([ID, ID.upper(), "", "x", ID[1:]]),
    "timestamp": st.sampled_from(
        [
            "2021-04-01",
            "2021-03-31T23:59:59Z",
            "2021-04-01 00:00:00.5+02:00",
            "2021-02-29",
            "",
            "0001-01-01T00:00:00+01:00",
        ]
    ),
    "email": st.sampled_from(
        ["", "a@acme.com", "no-at", " B@Mail.Acme.CO.UK ", "x@[192.0.2.1]", "a@b@c.info", "x@co.uk"]
    ),
    "country": st.sampled_from(["", "Côte d'Ivoire", "Korea, Republic of", "a\nb", 'quo"te']),
    "ip": st.sampled_from(["", "192.0.2.1", "2001:db8::1", "1.2.3", "1.2.3.\u0664"]),
    "uri": st.just("index"),
    "action": st.sampled_from(["visit", ""]),
    "tags": st.sampled_from(["", "[]", "['a', ',', 'b']", '["it\'s"]', "['a'", "[1]", "['']", "['x','y']"]),
}
records = st.fixed_dictionaries(cells)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(records, max_size=12), st.sampled_from([quoted, lambda text: quoted(text) if text else ""]))
def test_rows_are_typed_as_the_oracle_types_them(rows: list[dict[str, str]], written: object) -> None:
    assert callable(written)
    data = HEADER + "".join(",".join(written(row[c]) for c in COLUMNS) + "\n" for row in rows).encode()
    expected = read_events(data)
    results = read(data)
    rejected = [row for result in results for row in result.rejected]
    assert [(r.line_number, r.column_name, r.raw) for r in rejected] == [
        (r.line_number, r.column, r.raw) for r in expected.rejected
    ]
    found = [row for result in results for row in result.rows]
    assert [
        {**row, "tags": row["tags"] and words_of(row["tags"]), "ip": row["ip"] and row["ip"][4:]} for row in found
    ] == [
        {
            "id": r.id.bytes,
            "occurred_at": r.occurred_at,
            "event_date": r.event_date,
            "email": r.email,
            "company": r.company,
            "country": r.country,
            "ip": r.ip and r.ip.packed,
            "uri": r.uri,
            "action": r.action,
            "tags": None if r.tags is None else list(r.tags),
        }
        for r in expected.rows
    ]
