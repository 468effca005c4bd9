"""Test that a container with a memory limit can load a large object with the deployed image."""

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from end_to_end.docker_pool import run_in_image
from sample_dataset import lake

from deployments.samples.events import COLUMNS, events_csv, object_key

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.usefixtures("worker_log")]

LIMIT = "512m"
BLOCK_ROWS, BLOCKS = 73_000, 6
"""60 MB of CSV. A process that parsed the whole file at once would need ten times as much memory."""

FLOW = "from flows.events_monthly import events_monthly; events_monthly('2021-04')"


def test_month_is_loaded_in_a_container_of_512_mb(database: str, bucket: str) -> None:
    del bucket
    header, _, block = b"".join(events_csv("2021-04", BLOCK_ROWS, bad_rows=0)).partition(b"\n")
    content = (part for part in (header + b"\n", *[block] * BLOCKS))
    stored = lake().write(object_key("", "2021-04"), content, "text/csv")
    assert stored.size_bytes > 55 << 20
    done = run_in_image(FLOW, LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(database) as connection:
        loads = connection.execute("SELECT status, rows_loaded, rows_rejected FROM ledger.loads").fetchall()
        assert loads == [("loaded", BLOCK_ROWS * BLOCKS, 0)]
        assert connection.execute("SELECT count(*) FROM events_staging.events").fetchone() == (BLOCK_ROWS * BLOCKS,)


def open_quote() -> Iterator[bytes]:
    yield from (",".join(COLUMNS).encode() + b"\n", b'"\n', b"a\n" * 199_999)


def invalid_rows() -> Iterator[bytes]:
    yield from (",".join(COLUMNS).encode() + b"\n", b"none,2021-04-03 10:00:00,,,,,,\n" * 200_000)


def many_keys() -> Iterator[bytes]:
    yield json.dumps(dict.fromkeys(COLUMNS)).encode() + b"\n"
    yield b"{" + b",".join(b'"%x":1' % number for number in range(1_000_000)) + b"}\n"
    yield b'{"id":1}\n' * 199_998


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(open_quote, "csv"), (invalid_rows, "csv"), (many_keys, "ndjson")],
    ids=["open quote", "invalid rows", "a million keys"],
)
def test_rejected_rows_of_a_hostile_object_fit_in_a_container_of_512_mb(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch, content: Callable[[], Iterator[bytes]], suffix: str
) -> None:
    del bucket
    monkeypatch.setenv("EVENTS_KEY", f"{{year:04d}}/{{month:02d}}/events.{suffix}")
    monkeypatch.setenv("MAX_REJECTED_ROWS", "1000000")  # so that the load does not stop early
    lake().write(f"2021/04/events.{suffix}", content(), "binary/octet-stream")
    done = run_in_image(FLOW, LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr  # 137 after SIGKILL
    with psycopg.connect(database) as connection:
        loads = connection.execute("SELECT status, rows_loaded, rows_rejected FROM ledger.loads").fetchall()
    assert loads == [("loaded", 0, 200_000)]
