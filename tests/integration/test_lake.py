"""The lake client with a real S3 server."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ResponseStreamingError
from sample_dataset import client, lake, put, ref

from tasks.engine.errors import (
    LakeError,
    LakeUnavailableError,
    MissingObjectError,
    ObjectChangedError,
    is_transient,
)
from tasks.engine.lake import client as lake_module
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import LakeSettings

pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.every_store]

KEY = "2021/04/things.csv"
STRANGE = "Ünï/a b+c%20&?#='\"/(1).csv"


def settings_of(**changed: str) -> LakeSettings:
    given = {
        "bucket": os.environ["LAKE_BUCKET"], "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "region": os.environ["AWS_REGION"],
    }  # fmt: skip
    return LakeSettings.model_validate(given | changed)


@contextmanager
def opened(source: ObjectRef, *, is_seekable: bool = False) -> Iterator[tuple[io.BufferedReader, list[int]]]:
    counts: list[int] = []
    with lake().open(source, counts.append, is_seekable=is_seekable) as file:
        yield file, counts


def test_listing_has_every_object_of_the_prefix_in_the_order_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"a/{number:03d}" for number in range(25)]
    for key in [*reversed(keys), "b/1", "a", STRANGE]:
        put(b"x" * len(key), key)
    assert [stored.key for stored in lake().list("a/")] == keys
    first = next(lake().list("a/"))
    assert (first.version, first.size_bytes) == (ref("a/000").version, 5)
    assert '"' not in first.version
    assert [stored.key for stored in lake().list(STRANGE)] == [STRANGE]
    assert list(lake().list("none/")) == []
    assert len(list(lake().list(""))) == 28


def test_listing_continues_after_its_first_page() -> None:
    for number in range(7):
        put(b"", f"a/{number}")
    paged = Lake(settings_of())

    def three_keys_a_page(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = 3

    # The server's own limit is a thousand.
    paged._client.meta.events.register("before-parameter-build.s3.ListObjectsV2", three_keys_a_page)
    assert [stored.key for stored in paged.list("a/")] == [f"a/{number}" for number in range(7)]


def test_head_of_no_object_is_a_missing_object() -> None:
    with pytest.raises(MissingObjectError, match=rf"no object s3://{lake().bucket}/nowhere"):
        lake().head("nowhere")


def test_object_with_any_key_is_read_completely() -> None:
    data = os.urandom(3 << 20)
    with opened(put(data, STRANGE)) as (file, counts):
        assert file.read() == data
    assert sum(counts) == len(data)


def test_empty_object_has_no_rows() -> None:
    with opened(put(b"")) as (file, counts):
        assert (file.read(), counts) == (b"", [])
    stored = lake().head(KEY)
    assert list(lake().read(KEY, stored.version)) == []


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3, 7), (9, 10), (0, None), (10, None), (5, None), (5, 5), (8, 99)])
def test_range_is_half_open(start: int, end: int | None) -> None:
    data = b"0123456789"
    version = put(data).version
    assert b"".join(lake().read(KEY, version, start, end)) == data[start:end]


def test_parquet_is_seekable() -> None:
    data = os.urandom(3 << 20)
    source = put(data, "x.parquet")
    with opened(source, is_seekable=True) as (file, counts):
        assert file.seek(-4, io.SEEK_END) == len(data) - 4
        assert file.read() == data[-4:]
        assert file.seek(1_500_000) == 1_500_000
        assert file.read(1_200_000) == data[1_500_000:2_700_000]
        assert file.tell() == 2_700_000
        file.seek(10)
        file.seek(5, io.SEEK_CUR)
        assert file.read(5) == data[15:20]
        file.seek(0)
        assert file.read() == data
        assert file.read() == b""
    assert sum(counts) >= len(data)


@pytest.mark.parametrize("key", [KEY, "x.parquet"])
def test_object_that_was_replaced_is_not_read(key: str) -> None:
    listed = put(b"one", key)
    put(b"two", key)
    with opened(listed) as (file, _), pytest.raises(ObjectChangedError, match=rf"{key}.*replaced") as caught:
        file.read()
    assert is_transient(caught.value)


def test_read_continues_after_its_last_byte_when_the_connection_drops() -> None:
    data = os.urandom(5 << 20)
    version = put(data).version
    blocks = Dropping(Lake(settings_of()), drops=3)
    assert b"".join(blocks.lake.read(KEY, version)) == data
    assert blocks.starts == [0, 1 << 20, 2 << 20, 3 << 20]


def test_replaced_object_is_not_mixed_in_when_the_connection_drops() -> None:
    version = put(os.urandom(5 << 20)).version
    blocks = Dropping(Lake(settings_of()), drops=1).lake.read(KEY, version)
    next(blocks)
    put(os.urandom(5 << 20))
    with pytest.raises(ObjectChangedError):
        list(blocks)


def test_read_without_progress_ends_and_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    version = put(os.urandom(5 << 20)).version
    dropping = Dropping(Lake(settings_of()), drops=99, after=0)
    with pytest.raises(
        LakeUnavailableError, match=rf"s3://{lake().bucket}/{KEY}: the read stopped at byte 0, and 5 attempts"
    ):
        list(dropping.lake.read(KEY, version))
    assert len(dropping.starts) == 6


class Dropping:
    """Return a lake whose response bodies end after one block, as with a lost connection."""

    def __init__(self, broken: Lake, drops: int, after: int = 1) -> None:
        self.lake, self.starts, self._drops, self._after = broken, list[int](), drops, after
        self._get = broken._get
        broken._get = self._dropping  # type: ignore[method-assign]

    def _dropping(self, key: str, version: str, start: int, end: int | None) -> tuple[Any, int] | None:
        answer = self._get(key, version, start, end)
        self.starts.append(start)
        if answer is None or len(self.starts) > self._drops:
            return answer
        return self._broken_body(answer[0]), answer[1]

    def _broken_body(self, body: Any) -> object:
        after = self._after

        class Body:
            def iter_chunks(self, size: int) -> Iterator[bytes]:
                for number, block in enumerate(body.iter_chunks(size)):
                    if number == after:
                        raise ResponseStreamingError(error="connection broken")
                    yield block

            def close(self) -> None:
                body.close()

        return Body()


@pytest.mark.parametrize("size", [0, 1, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, 12 << 20])
def test_object_is_written_whole_in_parts_or_in_one(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)  # the least that S3 takes
    data = os.urandom(size)
    blocks = (data[begin : begin + 700_001] for begin in range(0, size, 700_001))
    stored = lake().write("out/x.csv", blocks, "text/csv")
    assert (stored.key, stored.size_bytes) == ("out/x.csv", size)
    answer = client().get_object(Bucket=lake().bucket, Key="out/x.csv")
    assert (answer["Body"].read(), answer["ContentType"]) == (data, "text/csv")
    assert ("-" in stored.version) == (size >= 5 << 20)


@pytest.mark.parametrize("good", [1, 14])
def test_failing_source_of_blocks_leaves_the_old_object_and_no_parts(
    good: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "PART_BYTES", 5 << 20)
    before = put(b"old").version

    def blocks() -> Iterator[bytes]:
        yield from [bytes(1 << 20)] * good
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lake().write(KEY, blocks(), "text/csv")
    assert lake().head(KEY).version == before
    assert client().list_multipart_uploads(Bucket=lake().bucket).get("Uploads", []) == []


def test_checksum_is_of_what_the_lake_holds() -> None:
    put(b"abc")
    assert lake().sha256(lake().head(KEY)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"bucket": "no-such-bucket-anywhere"}, "NoSuchBucket"),
        ({"access_key_id": "AKIAWRONGWRONGWRONG0"}, "InvalidAccessKeyId|AccessDenied|403"),
        ({"secret_access_key": "wrong-secret"}, "SignatureDoesNotMatch|AccessDenied|403"),
    ],
)
def test_refusal_of_the_server_is_permanent_and_names_its_place(changed: dict[str, str], code: str) -> None:
    wrong = Lake(settings_of(**changed))
    version = put(b"x").version
    for attempt in (
        lambda: list(wrong.list("a/")),
        lambda: list(wrong.read(KEY, version)),
        lambda: wrong.write(KEY, iter([b"x"]), "text/csv"),
    ):
        with pytest.raises(LakeError, match=rf"S3 \[({code})\].*s3://{wrong.bucket}/") as caught:
            attempt()
        assert not is_transient(caught.value)
        assert "wrong-secret" not in str(caught.value)


def test_missing_key_is_a_permanent_error() -> None:
    with pytest.raises(LakeError, match=r"S3 \[NoSuchKey\]") as caught:
        list(lake().read("nowhere", "0" * 32))
    assert not is_transient(caught.value)


def test_server_that_does_not_answer_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Lake(settings_of(endpoint_url="http://127.0.0.1:9"))
    with patch("time.sleep"), pytest.raises(LakeUnavailableError, match="S3 did not answer"):
        nobody.head(KEY)
