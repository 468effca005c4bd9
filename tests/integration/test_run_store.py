"""The files of runs in a store: written once, moved without a loss, logged once."""

import os
from collections.abc import Iterator

import pytest
from botocore.retries.standard import ExponentialBackoff
from faults.s3_proxy import Answer, Exchange, s3_proxy
from sample_dataset import client, lake, no_block

from tasks.engine.errors import BalanceError, ObjectExistsError
from tasks.engine.lake import client as lakes
from tasks.engine.lake.client import Lake
from tasks.engine.lake.uploads import PARTS_AT_ONCE
from tasks.engine.lake.write_once import move_object, write_new
from tasks.engine.settings import read_lake
from tasks.engine.sync.run_store import RunStore

PART_BYTES = 5 << 20
"""The minimum size of a part in S3, except for the last part."""

SIZES = {"empty": [0], "small": [3, 4], "one part": [PART_BYTES], "parts": [PART_BYTES - 1, 2, PART_BYTES]}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "PART_BYTES", PART_BYTES)


@pytest.fixture
def csv(bucket: str) -> RunStore:
    del bucket  # its variables say where S3 is
    return RunStore(lake(), "csv")


def blocks(sizes: list[int], letter: bytes = b"a") -> Iterator[bytes]:
    yield from (letter * size for size in sizes)


def content(bucket: str, key: str) -> bytes:
    return client().get_object(Bucket=bucket, Key=key)["Body"].read()


def unfinished(bucket: str) -> list[str]:
    return [upload["Key"] for upload in client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@pytest.mark.every_store
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_object_is_written_once_and_moved_as_it_is(csv: RunStore, bucket: str, sizes: list[int]) -> None:
    stored = write_new(csv.lake, "a", blocks(sizes), "text/csv")
    assert content(bucket, "a") == b"a" * sum(sizes)
    with pytest.raises(ObjectExistsError, match="expected no object there"):
        write_new(csv.lake, "a", blocks(sizes, b"b"), "text/csv")
    assert content(bucket, "a") == b"a" * sum(sizes)
    moved = move_object(csv.lake, stored, "b")
    assert (moved.version, content(bucket, "b")) == (stored.version, b"a" * sum(sizes))
    assert [found.key for found in csv.lake.list("")] == ["b"]
    assert unfinished(bucket) == []


def test_blocks_are_sent_while_they_come(csv: RunStore) -> None:
    made, sent = 0, []

    def counted() -> Iterator[bytes]:
        nonlocal made
        for block in blocks([1 << 20] * 40):
            made += len(block)
            yield block

    with Lake(read_lake(os.environ, no_block)) as watched:
        watched.client.meta.events.register("before-call.s3.UploadPart", lambda **_: sent.append(made))
        write_new(watched, "a", counted(), "text/csv")
    first, question, *parts = sorted(sent)  # the second request asks whether the store verifies checksums
    assert PART_BYTES <= first <= question == 2 * PART_BYTES
    assert len(parts) == 7
    for number, size in enumerate(parts, 2):
        assert PART_BYTES * number <= size <= PART_BYTES * (number + PARTS_AT_ONCE)


@pytest.mark.parametrize("sizes", [SIZES["small"], SIZES["parts"]], ids=["small", "parts"])
def test_object_that_comes_between_the_look_and_the_write_stays(csv: RunStore, bucket: str, sizes: list[int]) -> None:
    def overtaken() -> Iterator[bytes]:
        client().put_object(Bucket=bucket, Key="a", Body=b"theirs")
        yield from blocks(sizes)

    with pytest.raises(ObjectExistsError):
        write_new(csv.lake, "a", overtaken(), "text/csv")
    assert content(bucket, "a") == b"theirs"
    assert unfinished(bucket) == []


def test_blocks_that_break_off_leave_nothing(csv: RunStore, bucket: str) -> None:
    def broken() -> Iterator[bytes]:
        yield from blocks(SIZES["parts"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_new(csv.lake, "a", broken(), "text/csv")
    assert list(csv.lake.list("")) == []
    assert unfinished(bucket) == []


def test_store_without_conditional_writes_keeps_the_existing_object(bucket: str) -> None:
    with Lake(read_lake(os.environ, no_block)) as unconditional:
        unconditional.client.meta.events.register(
            "provide-client-params.s3.*", lambda params, **_: {k: v for k, v in params.items() if k != "IfNoneMatch"}
        )
        write_new(unconditional, "a", blocks([3]), "text/csv")
        with pytest.raises(ObjectExistsError):
            write_new(unconditional, "a", blocks([3], b"b"), "text/csv")
    assert content(bucket, "a") == b"aaa"


ERROR = b'<?xml version="1.0"?><Error><Code>%b</Code><Message>Lost</Message></Error>'


@pytest.mark.parametrize(("sizes", "method", "number"), [([3], "PUT", 1), (SIZES["parts"], "POST", 2)])
def test_write_whose_response_was_lost_is_recognised(
    bucket: str, monkeypatch: pytest.MonkeyPatch, sizes: list[int], method: str, number: int
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)

    def lose_the_answer(exchange: Exchange) -> None:
        if (exchange.method, exchange.number) == (method, number):
            exchange.forward()
            exchange.reply(Answer(500, [], ERROR % b"InternalError"))
        elif (exchange.method, exchange.number) == ("POST", number + 1):
            exchange.reply(Answer(404, [], ERROR % b"NoSuchUpload"))  # the store forgets a completed upload
        else:
            exchange.reply(exchange.forward())

    with (
        s3_proxy(os.environ["AWS_ENDPOINT_URL"], lose_the_answer) as url,
        Lake(read_lake({**os.environ, "AWS_ENDPOINT_URL": url}, no_block)) as proxied,
    ):
        write_new(proxied, "a", blocks(sizes), "text/csv")
    assert content(bucket, "a") == b"a" * sum(sizes)


def test_move_continues_from_an_existing_copy(csv: RunStore, bucket: str) -> None:
    stored = write_new(csv.lake, "a", blocks([3]), "text/csv")
    client().put_object(Bucket=bucket, Key="b", Body=b"aaa")
    move_object(csv.lake, stored, "b")
    assert [found.key for found in csv.lake.list("")] == ["b"]


def test_move_onto_another_content_moves_nothing(csv: RunStore, bucket: str) -> None:
    stored = write_new(csv.lake, "a", blocks([3]), "text/csv")
    client().put_object(Bucket=bucket, Key="b", Body=b"bbb")
    with pytest.raises(ObjectExistsError):
        move_object(csv.lake, stored, "b")
    assert (content(bucket, "a"), content(bucket, "b")) == (b"aaa", b"bbb")


def test_moved_files_are_logged_once_in_the_order_of_the_runs(csv: RunStore, bucket: str) -> None:
    for run_number, tables in ((9, ["staff", "address"]), (10, ["staff"]), (2, ["design"])):
        for table in tables:
            csv.write(run_number, table, blocks([run_number]))
        client().put_object(Bucket=bucket, Key=f"input/{run_number}/notes.txt", Body=b"of another program")
        for _ in range(2):
            csv.move_processed(run_number, tables)
    log = content(bucket, "processed/csv_processed.txt")
    assert log == b"2/design.csv\n9/address.csv\n9/staff.csv\n10/staff.csv\n"
    assert content(bucket, "processed/10/staff.csv") == b"a" * 10
    assert content(bucket, "input/10/notes.txt") == b"of another program"


def test_move_of_a_file_that_is_gone_says_so(csv: RunStore) -> None:
    csv.write(1, "staff", blocks([1]))
    with pytest.raises(BalanceError, match="missing: address"):
        csv.move_processed(1, ["address", "staff"])


def test_marker_names_the_latest_run(csv: RunStore, bucket: str) -> None:
    assert not csv.is_marked(1)
    for run_number in (1, 12):
        csv.mark_complete(run_number)
        assert csv.is_marked(run_number)
        assert not csv.is_marked(2)
        assert content(bucket, "input/csv_export_completed.txt") == content(bucket, "run_number.txt")
    assert content(bucket, "run_number.txt") == b"12"
