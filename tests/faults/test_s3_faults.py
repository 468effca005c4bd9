"""S3 refuses for a while, answers slowly, partly, never, or with another object: the load is still correct."""

import gzip
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from botocore.retries.standard import ExponentialBackoff
from faults.aftermath import left_behind, ranked_state
from faults.conftest import Replacement
from faults.driver import work
from faults.exports import NEW, OLD, PART_BYTES, entries, objects, unfinished_uploads
from faults.s3_proxy import Answer, Exchange, Fault, s3_proxy
from faults.tcp_proxy import CutAfter, StallAfter, tcp_proxy
from sample_dataset import HEADER, client, lake, load, names, put

from tasks.engine.errors import LakeUnavailableError, ObjectChangedError
from tasks.engine.formats import csv_reader
from tasks.engine.lake import client as lake_module
from tasks.engine.lake import s3_clients
from tasks.engine.receipts import ObjectRef
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>'
)
ROWS = 10_000


@pytest.fixture
def large(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> ObjectRef:
    """An object of several reads and batches, 1 MB."""
    del postgres
    monkeypatch.setattr(lake_module, "READ_BYTES", 1 << 16)
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 1 << 18)
    filler = "x" * 90
    return put(HEADER + b"".join(f"{number:06d} {filler},\n".encode() for number in range(ROWS)))


def is_whole(postgres: Connection) -> bool:
    found = [name[:6] for name in names(postgres)]
    return found == [f"{number:06d}" for number in range(ROWS)]


@pytest.fixture
def endpoint(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the real server; neither the client nor a read waits between its tries."""
    del bucket
    monkeypatch.setattr(lake_module, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    return os.environ["AWS_ENDPOINT_URL"]


@contextmanager
def through(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a proxy before the lake of the environment during the block."""
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield


@contextmanager
def through_s3_proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> Iterator[None]:
    with s3_proxy(endpoint, fault) as url, through(url, monkeypatch):
        yield


@contextmanager
def through_tcp_proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch, fault: CutAfter | StallAfter) -> Iterator[None]:
    address = urlsplit(endpoint)
    with (
        tcp_proxy(str(address.hostname), int(address.port or 80), fault) as proxy,
        through(f"http://127.0.0.1:{proxy.port}", monkeypatch),
    ):
        yield


@pytest.mark.every_store
@pytest.mark.parametrize("seed", range(4))
def test_connections_cut_at_random_bytes_are_resumed_without_a_restart(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    drawn = random.Random(seed)  # noqa: S311
    counts = [drawn.randrange(1, large.size_bytes * 3 // 10) for _ in range(3)]
    fault = CutAfter("server", counts, is_reset=bool(seed % 2))
    with through_tcp_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, large).rows_loaded == ROWS
    assert fault.cuts == len(counts)
    assert is_whole(postgres)


def test_silent_connection_ends_by_its_timeout_and_is_resumed(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_clients, "READ_TIMEOUT", 0.5)
    fault = StallAfter("server", 1 << 19)
    with through_tcp_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, large).rows_loaded == ROWS
    assert fault.stalled == {1}
    assert is_whole(postgres)


def test_server_that_never_answers_is_a_transient_error_and_leaves_nothing(
    postgres: Connection, replacement: Replacement, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_clients, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(lake_module, "RESUMES", 0)
    fault = StallAfter("server", 0, connections=1000)
    with through_tcp_proxy(endpoint, monkeypatch, fault), pytest.raises(LakeUnavailableError, match="Read timeout"):
        load(postgres, replacement.source)
    assert left_behind(postgres) == {}
    assert ranked_state(postgres) == replacement.before
    assert load(postgres, replacement.source).status == "replaced"
    assert ranked_state(postgres) == replacement.after


def test_slow_down_for_a_while_is_waited_out(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def fault(exchange: Exchange) -> None:
        if exchange.number <= 3:
            refused.append(exchange.range)
            exchange.reply(Answer(503, [("Content-Type", "application/xml")], SLOW_DOWN))
        else:
            exchange.reply(exchange.forward())

    with through_s3_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, large).rows_loaded == ROWS
    assert len(refused) == 3
    assert is_whole(postgres)


def test_slow_answer_is_read_to_its_end_in_one_request(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []

    def fault(exchange: Exchange) -> None:
        requests.append(exchange.range)
        exchange.reply(exchange.forward(), pause=0.002)

    with through_s3_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, large).rows_loaded == ROWS
    assert requests == [""]
    assert is_whole(postgres)


def test_body_that_is_shorter_than_it_says_is_completed_by_range(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []

    def fault(exchange: Exchange) -> None:
        requests.append(int(exchange.range.removeprefix("bytes=").partition("-")[0] or 0))
        exchange.reply(exchange.forward(), only=375_000 if exchange.number < 3 else None)

    with through_s3_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, large).rows_loaded == ROWS
    assert requests == sorted(set(requests))
    assert requests[0] == 0 < requests[1] <= 375_000 < requests[2] <= 750_000
    assert is_whole(postgres)


@pytest.mark.every_store
@pytest.mark.parametrize("knows_if_match", [True, False], ids=["pinned", "store ignores If-Match"])
def test_object_overwritten_in_mid_read_fails_the_load_and_the_retry_loads_the_new_content(
    postgres: Connection,
    replacement: Replacement,
    large: ObjectRef,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    knows_if_match: bool,
) -> None:
    newest = HEADER + b"newest,\n" * 1000
    direct = client()

    def fault(exchange: Exchange) -> None:
        if exchange.number == 1:
            answer = exchange.forward()
            direct.put_object(Bucket=lake().bucket, Key="2021/04/things.csv", Body=newest)
            exchange.reply(answer, only=625_000)
        elif knows_if_match:
            exchange.reply(exchange.forward())
        else:
            found = direct.get_object(Bucket=lake().bucket, Key="2021/04/things.csv")
            headers = [("ETag", found["ETag"]), ("Content-Type", "text/csv")]
            exchange.reply(Answer(206, headers, found["Body"].read()))

    with through_s3_proxy(endpoint, monkeypatch, fault), pytest.raises(ObjectChangedError, match=r"things\.csv"):
        load(postgres, large)
    assert left_behind(postgres) == {}
    assert ranked_state(postgres) == replacement.before
    stored = lake().head("2021/04/things.csv")
    assert load(postgres, ObjectRef(large.uri, stored.version, stored.size_bytes, large.partition)).status == "replaced"
    assert names(postgres) == ["newest"] * 1000


def test_compressed_object_is_resumed_too(postgres: Connection, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HEADER + b"".join(b"%s,\n" % os.urandom(60).hex().encode() for _ in range(ROWS))
    source = put(gzip.compress(plain, 1), "2021/04/things.csv.gz")
    fault = CutAfter("server", [source.size_bytes // 2, source.size_bytes // 3])
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 1 << 18)
    with through_tcp_proxy(endpoint, monkeypatch, fault):
        assert load(postgres, source).rows_loaded == ROWS
    assert fault.cuts == 2
    assert names(postgres) == sorted(line.removesuffix(b",").decode() for line in plain.splitlines()[1:])


@pytest.mark.every_store
def test_export_is_complete_although_its_uploads_are_interrupted(
    postgres: Connection, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", PART_BYTES)
    fault = CutAfter("client", [600_000, 700_000])
    with through_tcp_proxy(endpoint, monkeypatch, fault):
        assert work("export", NEW, postgres) == ["exported"]
    assert fault.cuts == 2
    assert work("export", NEW, postgres) == ["unchanged"]
    assert unfinished_uploads(bucket) == []


@pytest.mark.every_store
def test_export_that_s3_breaks_off_leaves_the_old_file_and_the_next_run_clears_up(
    postgres: Connection, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", PART_BYTES)
    work("export", OLD, postgres)
    before = entries(postgres), objects(bucket)

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward() if exchange.method != "PUT" else None
        exchange.reply(answer or Answer(503, [("Content-Type", "application/xml")], SLOW_DOWN))

    with through_s3_proxy(endpoint, monkeypatch, fault), pytest.raises(LakeUnavailableError, match="SlowDown"):
        work("export", NEW, postgres)
    assert left_behind(postgres) == {}
    assert (entries(postgres), objects(bucket)) == before
    assert work("export", NEW, postgres) == ["exported"]
    assert unfinished_uploads(bucket) == []
    assert len(entries(postgres)) == 2


def test_load_ends_its_threads_when_s3_breaks_off(
    postgres: Connection, large: ObjectRef, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "RESUMES", 0)
    with (
        through_tcp_proxy(endpoint, monkeypatch, CutAfter("server", [250_000] * 100)),
        pytest.raises(LakeUnavailableError, match="stopped at byte"),
    ):
        load(postgres, large)
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}
