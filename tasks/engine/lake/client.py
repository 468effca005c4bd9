"""The S3 client: lists objects, reads pinned versions and writes objects."""

import functools
import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from tasks.engine.errors import (
    LakeUnavailableError,
    MissingObjectError,
    ObjectChangedError,
    errors_at,
    s3_code_of,
)
from tasks.engine.lake.s3_clients import S3Clients, new_client
from tasks.engine.lake.streams import BlockFile, SeekableObject, counted
from tasks.engine.lake.uploads import Upload
from tasks.engine.prefetch import prefetched
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import LakeSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES = 1 << 20
SEEK_BYTES = 1 << 12
"""A smaller read of a seekable file requests this many bytes, such as a header of parquet. A larger `readinto` requests
its own size."""

BLOCKS_AHEAD = 4
"""Number of blocks that are read in advance."""

PART_BYTES = 8 << 20
RESUMES = 5
"""Maximum number of consecutive attempts to resume a read without receiving a byte."""


@dataclass(frozen=True)
class StoredObject:
    """The metadata of an object from a listing or a HEAD request.

    Attributes:
        key: The key.
        version: The ETag without quotes.
        size_bytes: The size.
        modified_at: The time of the last write.
        is_verified: Whether the checksum that S3 computed of the object equals the checksum of the bytes that were
            sent. False: unknown.
    """

    key: str
    version: str
    size_bytes: int
    modified_at: datetime
    is_verified: bool = False


class Lake:
    """One bucket. The context manager closes the connections of its own client, and leaves a shared client open.

    Args:
        settings: The connection settings.
        clients: Clients to share with other steps. Without them, the lake has its own client.
    """

    def __init__(self, settings: LakeSettings, clients: S3Clients | None = None) -> None:
        self.bucket, self._named_by = settings.bucket, settings.named_by
        self._client = clients.client_for(settings) if clients else new_client(settings)
        self._is_shared = clients is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_shared:
            self._client.close()

    @property
    def client(self) -> "S3Client":
        """The client of S3, for other modules of the engine."""
        return self._client

    def _errors_at(self, where: str) -> AbstractContextManager[None]:
        return errors_at(where, self._named_by)

    def uri(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects with a prefix, in the order of their keys.

        Raises:
            TallyError: The bucket does not exist, the list permission is missing, or S3 does not answer.
        """
        with self._errors_at(f"list of {self.uri(prefix)}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"])

    def head(self, key: str, checksum: str = "") -> StoredObject:
        """Return the metadata of an object's current version.

        Args:
            key: The object's key.
            checksum: The checksum that S3 must have computed of the object, as an upload returns it; empty: unknown.

        Raises:
            MissingObjectError: The object does not exist.
        """
        with self._errors_at(self.uri(key)):
            try:
                mode: dict[Any, Any] = {"ChecksumMode": "ENABLED"} if checksum else {}
                item = self._client.head_object(Bucket=self.bucket, Key=key, **mode)
            except self._client.exceptions.ClientError as error:
                if s3_code_of(error)[1] == 404:
                    raise MissingObjectError(
                        f"no object {self.uri(key)}: expected an object there. Check {self._named_by} and the key"
                    ) from error
                raise
        # S3 writes the checksum of an object of 7 parts as `checksum-7`.
        is_verified = bool(checksum) and item.get("ChecksumSHA256", "").partition("-")[0] == checksum
        return StoredObject(key, item["ETag"].strip('"'), item["ContentLength"], item["LastModified"], is_verified)

    def latest(self, source: ObjectRef) -> ObjectRef:
        """Return the current version of an object.

        Raises:
            MissingObjectError: The object no longer exists.
        """
        stored = self.head(source.uri.removeprefix(self.uri("")))
        return replace(source, version=stored.version, size_bytes=stored.size_bytes)

    def read(self, key: str, version: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes `[start, end)` of one version of an object. A lost connection is resumed.

        Args:
            key: The object's key.
            version: The ETag. Every request is pinned to it.
            start: Offset of the first byte.
            end: Offset after the last byte, or None for the end of the object.

        Raises:
            ObjectChangedError: The object now has another version.
            LakeUnavailableError: Several consecutive attempts received no byte.
        """
        position, fruitless = start, 0
        while end is None or position < end:
            try:
                with self._errors_at(self.uri(key)):
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
                        f"{self.uri(key)}: the read stopped at byte {position:,}, and {RESUMES} attempts to resume it"
                        f" received nothing: {error}"
                    ) from error
                time.sleep(0.1 * 2**fruitless)

    def _get(self, key: str, version: str, start: int, end: int | None) -> tuple[Any, int] | None:
        """Return the body and its end offset, or None if the range begins at or after the object's end."""
        # A whole object is requested without a range, because an empty object has no valid range.
        pinned = functools.partial(self._client.get_object, Bucket=self.bucket, Key=key, IfMatch=f'"{version}"')
        try:
            is_whole = start == 0 and end is None
            answer = pinned() if is_whole else pinned(Range=f"bytes={start}-{'' if end is None else end - 1}")
        except self._client.exceptions.ClientError as error:
            if s3_code_of(error)[1] == 416:
                return None
            raise
        if answer["ETag"].strip('"') != version:  # the S3 server ignored If-Match
            raise ObjectChangedError(
                f"{self.uri(key)}: expected version {version}, found {answer['ETag']}: the object was replaced during"
                " the run; the retry reads the new version"
            )
        return answer["Body"], start + answer["ContentLength"]

    @contextmanager
    def open(
        self, source: ObjectRef, on_bytes: Callable[[int], None], *, is_ahead: bool = True, is_seekable: bool = False
    ) -> Iterator[io.BufferedReader]:
        """Open one version of an object as a file.

        Args:
            source: The version.
            on_bytes: Called with the number of bytes received.
            is_ahead: Whether to read blocks in advance. Use it only to read the object up to its end.
            is_seekable: Whether the file is seekable, for parquet. Otherwise it is streamed.
        """
        key = source.uri.removeprefix(self.uri(""))
        if is_seekable:
            read = functools.partial(self.read, key, source.version)
            yield io.BufferedReader(SeekableObject(read, source.size_bytes, on_bytes), SEEK_BYTES)
            return
        blocks = counted(self.read(key, source.version), on_bytes)
        with prefetched(blocks, BLOCKS_AHEAD) if is_ahead else nullcontext(blocks) as ready:
            yield io.BufferedReader(BlockFile(ready), READ_BYTES)

    def write(self, key: str, blocks: Iterator[bytes], content_type: str) -> StoredObject:
        """Write blocks into an object, which appears or is replaced as a whole. Parts are sent while blocks are made.

        Raises:
            TallyError: Producing the blocks or the upload failed. An existing object is unchanged.
        """
        with self._errors_at(self.uri(key)):
            checksum = self.upload(key, content_type).write(blocks, PART_BYTES)
        return self.head(key, checksum)

    def upload(self, key: str, content_type: str) -> Upload:
        """Return an upload, for the modules of this package."""
        return Upload(self._client, self.bucket, key, content_type)

    def abort_uploads(self, prefix: str) -> None:
        """Abort unfinished multipart uploads under a prefix, which killed runs leave.

        The caller must be the only writer under the prefix.
        """
        with self._errors_at(self.uri(prefix)):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix)
            for upload in [upload for page in pages for upload in page.get("Uploads", [])]:
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    def sha256(self, stored: StoredObject) -> str:
        """Read a stored object and return its checksum."""
        digest = hashlib.sha256()
        for block in self.read(stored.key, stored.version):
            digest.update(block)
        return digest.hexdigest()
