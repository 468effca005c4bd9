"""Uploads in parts: which stores verify checksums, the cost of a store that does not, and how an upload ends."""

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff
from faults.s3_proxy import Answer, Exchange, s3_proxy
from peak_memory import needs_proc, printed_by
from psycopg import sql
from sample_dataset import client, lake, no_block, put, ready_connection

from tasks.engine.errors import BalanceError, LakeError, LakeUnavailableError, is_transient
from tasks.engine.export.exporter import Export, write_exports
from tasks.engine.lake import client as lake_module
from tasks.engine.lake.client import Lake
from tasks.engine.lake.uploads import PARTS_AT_ONCE
from tasks.engine.lake.write_once import write_new
from tasks.engine.receipts import ExportReceipt
from tasks.engine.settings import read_lake
from tasks.engine.warehouse.tables import Connection

KEY, PART_BYTES = "out/x.csv", 5 << 20
"""The minimum size of a part in S3, except for the last part."""
ROWS = 14_500
"""Rows of 1 KB that fill three parts."""

ERROR = b'<?xml version="1.0"?><Error><Code>%b</Code><Message>refused</Message></Error>'


@pytest.fixture(autouse=True)
def _small_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del bucket  # its variables say where S3 is
    monkeypatch.setattr(lake_module, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    del database  # it sets the environment
    with ready_connection() as opened:
        yield opened


class Requests:
    """A fault of the proxy that counts requests and may answer them in place of the store."""

    def __init__(self, answer: Callable[[Exchange], Answer | None] = lambda _: None) -> None:
        self._answer, self.seen = answer, list[tuple[str, str]]()

    def __call__(self, exchange: Exchange) -> None:
        self.seen.append((exchange.method, exchange.path))
        exchange.reply(self._answer(exchange) or exchange.forward())

    def count(self, method: str, text: str = "") -> int:
        return sum(found == method and text in path for found, path in self.seen)


@contextmanager
def proxied(requests: Requests) -> Iterator[Lake]:
    with (
        s3_proxy(os.environ["AWS_ENDPOINT_URL"], requests) as url,
        Lake(read_lake({**os.environ, "AWS_ENDPOINT_URL": url}, no_block)) as through,
    ):
        yield through


def export(postgres: Connection, to: Lake, rows: int = ROWS) -> ExportReceipt:
    query = sql.SQL(f"SELECT n, repeat('x', 1000) AS x FROM generate_series(1, {rows}) AS n")
    (receipt,) = write_exports(postgres, to, [Export("x", query)], prefix="", export_id="out")
    return receipt


def content(rows: int = ROWS) -> bytes:
    return b"n,x\n" + b"".join(b"%d,%s\n" % (n, b"x" * 1000) for n in range(1, rows + 1))


def held(key: str = KEY) -> bytes:
    return client().get_object(Bucket=lake().bucket, Key=key)["Body"].read()


def unfinished() -> list[str]:
    return [upload["Key"] for upload in client().list_multipart_uploads(Bucket=lake().bucket).get("Uploads", [])]


def threads_of_uploads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("upload")]


def is_checksum(exchange: Exchange) -> bool:
    return "x-amz-checksum-sha256" in exchange.headers


def checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.every_store
def test_large_export_is_verified_on_every_store(postgres: Connection, store: Any, request: Any) -> None:
    del store
    requests = Requests()
    with proxied(requests) as through:
        receipt = export(postgres, through)
    assert (held(), receipt.row_count, unfinished()) == (content(), ROWS, [])
    # Ceph 16 ignores checksums: nothing is asked, and Tally reads the object back.
    is_ceph = "ceph" in request.node.name
    assert requests.count("GET", KEY) == is_ceph
    assert requests.count("PUT", "partNumber") == 3 + (not is_ceph)


def test_small_export_is_read_back(postgres: Connection) -> None:
    requests = Requests()
    with proxied(requests) as through:
        export(postgres, through, rows=3)
    assert held() == content(3)
    assert (requests.count("GET", KEY), requests.count("PUT", "partNumber")) == (1, 0)


def refusing(code: bytes, status: int, where: Callable[[Exchange], bool]) -> Callable[[Exchange], Answer | None]:
    return lambda exchange: Answer(status, [], ERROR % code) if where(exchange) else None


OLD_STORES = {
    "refuses the algorithm": refusing(b"NotImplemented", 501, lambda e: "x-amz-checksum-algorithm" in e.headers),
    "finds the algorithm invalid": refusing(b"InvalidArgument", 400, lambda e: "x-amz-checksum-algorithm" in e.headers),
    "refuses the checksum": refusing(b"InvalidArgument", 400, is_checksum),
    "does not implement the checksum": refusing(b"NotImplemented", 501, is_checksum),
    "forbids unsigned payloads": refusing(
        b"AccessDenied", 403, lambda e: e.headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
    ),
    "repeats a wrong checksum": lambda e: (
        Answer(200, [("ETag", '"0"'), ("x-amz-checksum-sha256", e.headers["x-amz-checksum-sha256"])], b"")
        if is_checksum(e) and e.headers["x-amz-checksum-sha256"] != checksum(e.body)
        else None
    ),
}


@pytest.mark.parametrize("answer", OLD_STORES.values(), ids=OLD_STORES)
def test_object_of_a_store_without_checksums_is_read_back(
    postgres: Connection, answer: Callable[[Exchange], Answer | None]
) -> None:
    requests = Requests(answer)
    with proxied(requests) as through:
        assert export(postgres, through).row_count == ROWS
    assert (held(), unfinished()) == (content(), [])
    assert requests.count("GET", KEY) == 1


def test_store_that_does_not_return_the_checksum_of_the_object_is_read_back(postgres: Connection) -> None:
    def without_checksum(exchange: Exchange) -> Answer | None:
        if exchange.method != "HEAD":
            return None
        answer = exchange.forward()
        headers = [header for header in answer.headers if "checksum" not in header[0].lower()]
        return Answer(answer.status, headers, answer.body)

    requests = Requests(without_checksum)
    with proxied(requests) as through:
        export(postgres, through)
    assert requests.count("GET", KEY) == 1


@pytest.mark.every_store
@pytest.mark.parametrize("number", [1, 3])
def test_part_that_changes_during_its_upload_is_refused_and_the_old_object_remains(
    postgres: Connection, number: int
) -> None:
    before = put(b"old", KEY).version

    def corrupt(exchange: Exchange) -> None:
        if exchange.method == "PUT" and f"partNumber={number}&" in f"{exchange.path}&" and len(exchange.body) > 99:
            exchange.body = exchange.body[:99] + b"?" + exchange.body[100:]

    requests = Requests(corrupt)
    with proxied(requests) as through, pytest.raises((LakeUnavailableError, LakeError)) as caught:
        export(postgres, through)
    assert is_transient(caught.value)
    assert (lake().head(KEY).version, unfinished(), threads_of_uploads()) == (before, [], [])
    assert export(postgres, lake()).row_count == ROWS


def test_object_that_another_writer_replaces_is_refused(postgres: Connection) -> None:
    def overtake(exchange: Exchange) -> Answer | None:
        if exchange.method != "POST" or "uploadId" not in exchange.path:
            return None
        answer = exchange.forward()
        put(b"theirs", KEY)
        return answer

    with proxied(Requests(overtake)) as through, pytest.raises(BalanceError, match="S3 holds other content"):
        export(postgres, through)
    assert postgres.execute("SELECT count(*) FROM ledger.exports").fetchone() == (0,)


def test_upload_that_the_store_forgot_is_tried_again(postgres: Connection) -> None:
    forgotten = refusing(b"NoSuchUpload", 404, lambda e: e.method == "POST" and "uploadId" in e.path)
    with proxied(Requests(forgotten)) as through, pytest.raises(LakeUnavailableError, match="NoSuchUpload"):
        export(postgres, through)
    assert export(postgres, lake()).row_count == ROWS


def test_refused_part_ends_the_query_and_all_threads(postgres: Connection) -> None:
    refused = refusing(b"AccessDenied", 403, lambda e: "partNumber=2" in e.path)
    endless = [Export("x", sql.SQL("SELECT generate_series(1, 1000000000), repeat('x', 1000)"))]
    with proxied(Requests(refused)) as through, pytest.raises(LakeError, match="AccessDenied"):
        write_exports(postgres, through, endless, prefix="", export_id="out")
    assert (unfinished(), threads_of_uploads()) == ([], [])
    assert postgres.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_error_of_the_blocks_ends_the_upload_and_all_threads(error: type[BaseException]) -> None:
    closed = []

    def blocks() -> Iterator[bytes]:
        try:
            yield from [bytes(1 << 20)] * 14
            raise error
        finally:
            closed.append(True)

    with pytest.raises(error):
        lake().write(KEY, blocks(), "text/csv")
    assert (unfinished(), threads_of_uploads(), closed) == ([], [], [True])


@pytest.mark.every_store
@pytest.mark.parametrize("write", [Lake.write, write_new], ids=["write", "write new"])
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([PART_BYTES], id="one part"),
        pytest.param([1, PART_BYTES - 1, 1], id="a byte more than a part"),
        pytest.param([3 * PART_BYTES + 7], id="a block of several parts"),
        pytest.param([0, PART_BYTES // 2, 0, PART_BYTES // 2, PART_BYTES, 0], id="empty blocks"),
    ],
)
def test_blocks_of_any_size_become_parts(write: Callable[..., Any], sizes: list[int]) -> None:
    data = [os.urandom(size) for size in sizes]
    stored = write(lake(), KEY, iter(data), "text/csv")
    assert (held(), stored.size_bytes, unfinished()) == (b"".join(data), sum(sizes), [])
    assert stored.version.endswith(f"-{-(-sum(sizes) // PART_BYTES)}")


def test_blocks_wait_while_the_parts_before_them_are_sent() -> None:
    """The memory of an upload is bounded, whatever the speed of the store."""
    made, is_waiting, seen = 0, threading.Event(), list[int]()
    most = PART_BYTES * (1 + PARTS_AT_ONCE + 1)  # the first part is stored, some are sent, and one is made

    def blocks() -> Iterator[bytes]:
        nonlocal made
        for _ in range(60):
            made += 1 << 20
            if made == most:
                is_waiting.set()
            yield bytes(1 << 20)

    def hold(exchange: Exchange) -> None:
        if "partNumber=2" in exchange.path and len(exchange.body) == PART_BYTES and not seen:
            is_waiting.wait(60)
            seen.append(made)

    with proxied(Requests(hold)) as through:
        through.write(KEY, blocks(), "text/csv")
    assert (seen, made) == ([most], 60 << 20)


MEMORY = """
import sys
from peak_memory import peak_mb
from psycopg import sql
from sample_dataset import connection, lake
from tasks.engine.export.exporter import Export, write_exports
with connection("memory") as warehouse:
    query = sql.SQL(f"SELECT n, repeat('x', 200) FROM generate_series(1, {int(sys.argv[1])}) AS n")
    (receipt,) = write_exports(warehouse, lake(), [Export("x", query)], prefix="", export_id="out")
print(receipt.size_bytes >> 20, peak_mb())
"""


@needs_proc
def test_memory_of_an_export_does_not_grow_with_its_rows(postgres: Connection) -> None:
    del postgres  # its database is in the environment
    few, many = ([float(word) for word in printed_by(MEMORY, rows)[0].split()] for rows in ("200000", "600000"))
    assert (few[0], many[0]) == (39, 118)
    assert many[1] < few[1] + 4 * (PART_BYTES >> 20)  # the parts that may be in memory; the object has 79 MB more
    assert many[1] < 150
