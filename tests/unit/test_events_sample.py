import csv
import hashlib
import io
import itertools
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from events_oracle import EventRow, read_events

from deployments.samples.events import events_csv, object_key, planned_bad_rows, write_year

pytestmark = pytest.mark.slow

ROWS = 2000


@cache
def sample(month: str, rows: int = ROWS, **options: int) -> bytes:
    return b"".join(events_csv(month, rows, **options))


@cache
def rows_of(month: str) -> list[EventRow]:
    return read_events(sample(month)).rows


def test_file_is_the_same_on_every_machine() -> None:
    # Change the digest only together with the sample's content. Tests depend on this content.
    digest = hashlib.sha256(sample("2021-04")).hexdigest()
    assert digest == "ca02631eb2580a5c7c7a9ee638cc36a326b08aa69cacb48901a10392cb002924"


def test_file_differs_when_month_or_seed_differs() -> None:
    files = [sample("2021-04"), sample("2021-05"), sample("2021-04", seed=1)]
    assert len(set(files)) == 3


@pytest.mark.parametrize("month", [f"2021-{number:02d}" for number in range(1, 13)])
def test_every_row_is_accounted_for_and_bad_rows_are_at_their_planned_lines(month: str) -> None:
    events = read_events(sample(month, bad_rows=25))
    planned = planned_bad_rows(month, ROWS, bad_rows=25)
    assert events.rows_read == ROWS
    assert [(bad.line_number, bad.column, bad.raw) for bad in events.rejected] == [
        (bad.line_number, bad.column, bad.raw) for bad in planned
    ]
    assert {bad.column for bad in planned} == {"id", "timestamp", "ip", "tags"}


@pytest.mark.parametrize(("rows", "bad_rows"), [(0, 0), (1, 0), (3, 3), (40, 5), (20_000, 0), (20_000, 20_000)])
def test_counts_are_exact_when_the_file_is_small_or_spans_blocks(rows: int, bad_rows: int) -> None:
    events = read_events(sample("2021-03", rows, bad_rows=bad_rows))
    assert (events.rows_read, len(events.rejected)) == (rows, bad_rows)


def test_csv_module_of_the_standard_library_reads_the_same_records() -> None:
    text = sample("2021-03", bad_rows=0).decode()
    records = csv.DictReader(io.StringIO(text, newline=""))
    assert [
        (str(row.id), row.email or "", row.country or "", row.uri or "") for row in read_events(text.encode()).rows
    ] == [(record["id"].lower(), record["email"], record["country"], record["uri"]) for record in records]


def test_three_months_have_a_byte_order_mark_crlf_or_no_final_newline() -> None:
    files = {f"2021-{number:02d}": sample(f"2021-{number:02d}", bad_rows=0) for number in range(1, 13)}
    assert [month for month, data in files.items() if data.startswith(b"\xef\xbb\xbf")] == ["2021-06"]
    assert [month for month, data in files.items() if not data.endswith(b"\n")] == ["2021-09"]
    assert [month for month, data in files.items() if data.endswith(b"\r\n")] == ["2021-03"]
    assert files["2021-03"].startswith(b"id,timestamp,email,country,ip,uri,action,tags\r\n")


def test_file_contains_rows_of_the_previous_and_the_next_month() -> None:
    dates = Counter(row.event_date.isoformat()[:7] for row in rows_of("2021-04"))
    assert set(dates) == {"2021-03", "2021-04", "2021-05"}
    assert any(row.event_date.isoformat() == "2021-03-31" for row in rows_of("2021-04"))


def test_ids_repeat_within_a_file_and_across_files() -> None:
    march, april = rows_of("2021-03"), rows_of("2021-04")
    repeats = [
        list(group) for _, group in itertools.groupby(sorted(april, key=lambda row: row.id), key=lambda row: row.id)
    ]
    assert any(len(group) > 1 and len({row.action for row in group}) > 1 for group in repeats), "same id, other content"
    lines = sample("2021-04").splitlines()
    assert len(lines) > len(set(lines)), "the same row twice"
    shared = {row.id for row in march} & {row.id for row in april}
    assert {row.event_date.isoformat() for row in april if row.id in shared} == {"2021-03-31"}
    assert len(shared) == 3


def test_file_contains_every_kind_of_value() -> None:
    rows = rows_of("2021-04")
    assert {row.ip.version if row.ip else None for row in rows} == {4, 6, None}
    assert {None, "", "Korea, Republic of", "Côte d'Ivoire", "日本 🗾"} <= {row.country for row in rows}
    assert {None, (), ("twice", "twice"), ("it's", 'say "hi"'), ("a, b", "c,d", "[e]"), ("",)} <= {
        row.tags for row in rows
    }
    emails = {row.email for row in rows}
    assert {None, "", "no-at-sign.example.info", " Ann.Lee@Mail.ACME.co.uk ", "j@a.b.c.globex.com.au"} <= emails
    assert {"acme", "globex", "bücher", "company", "github", "www", "hooli", "unknown"} <= {row.company for row in rows}
    assert any("\n" in (row.uri or "") for row in rows)
    text = sample("2021-04").decode()
    for form in ("2021-04-01T00:00:00,", "2021-04-30 23:59:59.999999,", "2021-04-10T12:34:56.5Z", "+05:30,"):
        assert form in text


def test_write_year_writes_each_month_with_the_prefix() -> None:
    put: dict[str, bytes] = {}
    written = write_year(lambda key, chunks: put.update({key: b"".join(chunks)}), 2021, 150, prefix="raw/", bad_rows=2)
    assert (
        list(put) == [f"raw/2021/{number:02d}/events.csv" for number in range(1, 13)] == [item.key for item in written]
    )
    assert put[object_key("raw/", "2021-04")] == sample("2021-04", 150, bad_rows=2)
    assert {(item.rows, item.bad_rows) for item in written} == {(150, 2)}


@pytest.mark.parametrize(("month", "bad_rows"), [("2021-13", 0), ("2021-4", 0), ("2021-04", 11), ("2021-04", -1)])
def test_invalid_arguments_are_rejected_before_the_first_chunk(month: str, bad_rows: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        events_csv(month, 10, bad_rows=bad_rows)


def test_command_prints_the_file() -> None:
    command = [sys.executable, "-m", "deployments.samples.events", "2021-04", "--rows", "200", "--bad-rows", "1"]
    root = Path(__file__).parents[2]
    printed = subprocess.run(command, check=True, capture_output=True, cwd=root).stdout
    assert printed == sample("2021-04", 200, bad_rows=1)
