"""Test that a container with a memory limit can load a large object and hostile ones with the deployed image."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from end_to_end.docker_pool import run_in_image
from sample_dataset import lake

from deployments.samples.events import COLUMNS, events_csv

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.usefixtures("worker_log")]

LIMIT = "512m"
BLOCK_ROWS, BLOCKS = 73_000, 6
"""60 MB of CSV. A process that parsed the whole file at once would need ten times as much memory."""

LOADS = """
import os
from flows.events_monthly import events_monthly
for month, suffix in {months}:
    print(month, flush=True)  # the last line names the month that needed too much
    os.environ["EVENTS_KEY"] = "{{year:04d}}/{{month:02d}}/events." + suffix
    events_monthly(month)
"""


def large_object() -> Iterator[bytes]:
    header, _, block = b"".join(events_csv("2021-04", BLOCK_ROWS, bad_rows=0)).partition(b"\n")
    yield from (header + b"\n", *[block] * BLOCKS)


def open_quote() -> Iterator[bytes]:
    yield from (",".join(COLUMNS).encode() + b"\n", b'"\n', b"a\n" * 199_999)


def invalid_rows() -> Iterator[bytes]:
    yield from (",".join(COLUMNS).encode() + b"\n", b"none,2021-04-03 10:00:00,,,,,,\n" * 200_000)


def a_million_keys() -> Iterator[bytes]:
    yield json.dumps(dict.fromkeys(COLUMNS)).encode() + b"\n"
    yield b"{" + b",".join(b'"%x":1' % number for number in range(1_000_000)) + b"}\n"
    yield b'{"id":1}\n' * 199_998


OBJECTS = {
    "2021-01": (open_quote, "csv", (0, 200_000)),
    "2021-02": (invalid_rows, "csv", (0, 200_000)),
    "2021-03": (a_million_keys, "ndjson", (0, 200_000)),
    "2021-04": (large_object, "csv", (BLOCK_ROWS * BLOCKS, 0)),
}
"""The content, its format, and the numbers of loaded and rejected rows."""


def test_large_and_hostile_objects_are_loaded_one_after_the_other_in_a_container_of_512_mb(
    database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container of its own for each object would start Python four times."""
    del bucket
    monkeypatch.setenv("MAX_REJECTED_ROWS", "1000000")  # so that no load stops early
    for month, (content, suffix, _) in OBJECTS.items():
        stored = lake().write(f"{month.replace('-', '/')}/events.{suffix}", content(), "binary/octet-stream")
        assert content is not large_object or stored.size_bytes > 55 << 20
    months = [(month, suffix) for month, (_, suffix, _) in OBJECTS.items()]
    done = run_in_image(LOADS.format(months=months), LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr  # 137 after SIGKILL
    with psycopg.connect(database) as connection:
        loads = connection.execute("SELECT partition, status, rows_loaded, rows_rejected FROM ledger.loads").fetchall()
        assert sorted(loads) == [(month, "loaded", *rows) for month, (_, _, rows) in OBJECTS.items()]
        assert connection.execute("SELECT count(*) FROM events_staging.events").fetchone() == (BLOCK_ROWS * BLOCKS,)
