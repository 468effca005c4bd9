"""The lake: listing, pinned reads and verified writes of S3 objects."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tasks.engine.errors import (
    LakeUnavailableError,
    MissingObjectError,
    ObjectChangedError,
    errors_at,
    s3_code_of,
)
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import LakeSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES = 1 << 20
PART_BYTES = 8 << 20
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
"""Seconds without a byte after which a connection counts as lost."""

RESUMES = 5
"""How often in a row a read may be resumed without a byte of progress."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing or a HEAD request shows it. `version` is its ETag without quotes."""

    key: str
    version: str
    size_bytes: int
    modified_at: datetime


class Lake:
    """One bucket; a context manager, which closes its connections.

    Args:
        settings: Where it is.
    """

    def __init__(self, settings: LakeSettings) -> None:
        self.bucket = settings.bucket
        secret = settings.secret_access_key
        token = settings.session_token
        session = boto3.session.Session()
        self._client: S3Client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            aws_session_token=token.get_secret_value() if token else None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                # Path style reaches every store; AWS takes it for any bucket without dots in its name as well.
                s3={"addressing_style": "path"} if settings.endpoint_url else {},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def uri(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose key begins with the prefix, in the order of their keys.

        Raises:
            TallyError: The bucket does not exist, may not be listed, or does not answer.
        """
        with errors_at(f"list of {self.uri(prefix)}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"])

    def head(self, key: str) -> StoredObject:
        """The object as it stands now.

        Raises:
            MissingObjectError: There is none.
        """
        with errors_at(self.uri(key)):
            try:
                item = self._client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if s3_code_of(error)[1] == 404:
                    raise MissingObjectError(
                        f"no object {self.uri(key)}: expected an object there; check LAKE_BUCKET and the key"
                    ) from error
                raise
        return StoredObject(key, item["ETag"].strip('"'), item["ContentLength"], item["LastModified"])

    def latest(self, source: ObjectRef) -> ObjectRef:
        """The version that the object has now.

        Raises:
            MissingObjectError: It is gone.
        """
        stored = self.head(source.uri.removeprefix(self.uri("")))
        return replace(source, version=stored.version, size_bytes=stored.size_bytes)

    def read(self, key: str, version: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `[start, end)` of one version of an object, resumed where a connection drops.

        Args:
            key: Its key.
            version: The ETag that every request is pinned to.
            start: First byte.
            end: Byte after the last; None for the object's end.

        Raises:
            ObjectChangedError: The object is another one by now.
            LakeUnavailableError: No byte came in several attempts in a row.
        """
        position, fruitless = start, 0
        while end is None or position < end:
            try:
                with errors_at(self.uri(key)):
                    answer = self._get(key, version, position, end)
                    if answer is None:
                        return
                    body, last = answer
                    with closing(body):
                        for block in body.iter_chunks(READ_BYTES):
                            position += len(block)
                            fruitless = 0
                            yield block
                if position >= last:
                    return
            except LakeUnavailableError as error:
                fruitless += 1
                if fruitless > RESUMES:
                    raise LakeUnavailableError(
                        f"{self.uri(key)} stopped at byte {position:,} and gave nothing in {RESUMES} attempts: {error}"
                    ) from error
                time.sleep(0.1 * 2**fruitless)

    def _get(self, key: str, version: str, start: int, end: int | None) -> tuple[Any, int] | None:
        """Body and its end position, or None where the range begins at or after the object's end."""
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{version}"', Range=wanted)
        except ClientError as error:
            if s3_code_of(error)[1] == 416:
                return None
            raise
        if answer["ETag"].strip('"') != version:  # from a store that does not know If-Match
            raise ObjectChangedError(
                f"{self.uri(key)}: expected version {version}, found {answer['ETag']}: the object was replaced during"
                " the run; it is read again"
            )
        return answer["Body"], start + answer["ContentLength"]

    def open(self, source: ObjectRef, on_bytes: Callable[[int], None]) -> io.BufferedReader:
        """A file over one version of an object: streamed, or for parquet, which is read from its end, seekable.

        Args:
            source: The version.
            on_bytes: Told how many bytes came, as they come.
        """
        key = source.uri.removeprefix(self.uri(""))
        if key.endswith(".parquet"):
            return io.BufferedReader(_SeekableObject(self, key, source, on_bytes), READ_BYTES)
        blocks = self.read(key, source.version, 0, source.size_bytes)
        return io.BufferedReader(_BlockFile(_counted(blocks, on_bytes)), READ_BYTES)

    def write(self, key: str, blocks: Iterator[bytes], content_type: str) -> StoredObject:
        """Stream blocks into an object, in parts; it appears whole at the end, or not at all.

        Raises:
            TallyError: The blocks or S3 failed; an object that stood there still stands.
        """
        config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2)
        with errors_at(self.uri(key)):
            self._client.upload_fileobj(
                io.BufferedReader(_BlockFile(blocks), READ_BYTES),
                self.bucket,
                key,
                Config=config,
                ExtraArgs={"ContentType": content_type},
            )
        return self.head(key)

    def abort_uploads(self, prefix: str) -> None:
        """Remove the parts of uploads under a prefix that were never finished: a run that is killed leaves them.

        The caller is the only writer there.
        """
        with errors_at(self.uri(prefix)):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix)
            for upload in [upload for page in pages for upload in page.get("Uploads", [])]:
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    def sha256(self, stored: StoredObject) -> str:
        """Checksum of the bytes that S3 holds, read back."""
        digest = hashlib.sha256()
        for block in self.read(stored.key, stored.version):
            digest.update(block)
        return digest.hexdigest()


def _counted(blocks: Iterator[bytes], on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        on_bytes(len(block))
        yield block


class _SeekableObject(io.RawIOBase):
    """Random access to a pinned object: each read is a ranged request."""

    def __init__(self, lake: Lake, key: str, source: ObjectRef, on_bytes: Callable[[int], None]) -> None:
        self._lake, self._key, self._source, self._on_bytes = lake, key, source, on_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size_bytes}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        end = min(self._position + len(view), self._source.size_bytes)
        filled = 0
        for block in self._lake.read(self._key, self._source.version, self._position, end):
            view[filled : filled + len(block)] = block
            filled += len(block)
        self._position += filled
        self._on_bytes(filled)
        return filled


class _BlockFile(io.RawIOBase):
    """The file that an upload reads, over an iterator of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
