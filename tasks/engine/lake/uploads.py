"""Multipart uploads: threads send some parts while the caller makes the next part.

S3 computes a SHA-256 of each part that it receives, and one of the object that it makes of the parts. If both equal the
checksums of the sender, S3 stored what was sent, and nobody needs to read the object. Older object stores ignore or
refuse checksums. So the first upload also sends a part with a wrong checksum: a store that refuses it verifies them.
"""

import base64
import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from tasks.engine.errors import MISMATCH_CODES, s3_code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARTS_AT_ONCE = 2
"""Number of parts that are sent at the same time. The part that the caller makes is in memory as well."""

_NOT_KNOWN = (400, 501)
"""The status of an answer that refuses an unknown header."""

Part = dict[str, Any]
"""A part in the request that completes an upload."""


class Checksums:
    """What the object store of a client does with checksums.

    Attributes:
        are_verified: Whether the store verifies them. None: unknown.
        asker: The thread that asks the store. None: no thread.
    """

    def __init__(self) -> None:
        self.are_verified: bool | None = None
        self.asker: int | None = None

    def choose_signature(self, **event: Any) -> None:
        """Handle botocore's event `before-sign` of a part: sign a verified checksum in place of the bytes.

        botocore would compute the same SHA-256 of the bytes again.
        """
        request = event["request"]
        is_enough = self.are_verified or self.asker == threading.get_ident()
        if is_enough and "x-amz-checksum-sha256" in request.headers:
            from botocore.config import Config  # noqa: PLC0415 - slow to import

            config = request.context["client_config"]
            unsigned: Any = {**(config.s3 or {}), "payload_signing_enabled": False}
            request.context["client_config"] = config.merge(Config(s3=unsigned))


CHECKSUMS: "WeakKeyDictionary[S3Client, Checksums]" = WeakKeyDictionary()
"""What the store of each client does with checksums. The first upload in several parts finds it out."""


class Upload:
    """Writes one object.

    Args:
        client: The client of S3.
        bucket: The bucket.
        key: The key of the object.
        content_type: The content type of the object.
    """

    def __init__(self, client: "S3Client", bucket: str, key: str, content_type: str) -> None:
        self._client, self._checksums = client, CHECKSUMS[client]
        self._bucket, self._key, self._content_type = bucket, key, content_type
        self._id, self._has_checksums = "", False

    def write(self, blocks: Iterable[bytes], part_bytes: int, *, is_new: bool = False) -> str:
        """Write blocks as one object, which appears after the last block. After an error, no part remains.

        Args:
            blocks: The blocks. This thread makes them while other threads send parts. A generator is closed.
            part_bytes: The size of a part. One request writes a smaller object.
            is_new: Do not replace an object, if the store supports the condition.

        Returns:
            The SHA-256 that S3 must have computed of the parts, in S3's encoding. It is empty if the object has no
            parts, or if nothing shows that the store verifies checksums.
        """
        condition: dict[Any, Any] = {"IfNoneMatch": "*"} if is_new else {}
        with closing(_parts(blocks, part_bytes)) as parts:
            first = next(parts, b"")
            if len(first) == part_bytes:
                whole = chain([first], parts)
                del first  # the threads free the memory of each part
                return self._write_parts(whole, condition)
            self._client.put_object(
                Bucket=self._bucket, Key=self._key, Body=first, ContentType=self._content_type, **condition
            )
        return ""

    def _write_parts(self, parts: Iterator[bytes], condition: dict[Any, Any]) -> str:
        self._begin()
        try:
            sent = self._send(parts)
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                MultipartUpload={"Parts": cast("Any", sent)},
                **condition,
            )
        except BaseException:
            with contextlib.suppress(Exception):  # the next run aborts unfinished uploads
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)
            raise
        if not self._checksums.are_verified or not all("ChecksumSHA256" in part for part in sent):
            return ""
        return _checksum(b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in sent))

    def _begin(self) -> None:
        """Begin an upload, with checksums if the store may know them."""
        self._has_checksums = self._checksums.are_verified is not False
        algorithm: dict[Any, Any] = {"ChecksumAlgorithm": "SHA256"} if self._has_checksums else {}
        try:
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key, ContentType=self._content_type, **algorithm
            )
        except self._client.exceptions.ClientError as error:
            if not self._has_checksums or s3_code_of(error)[1] not in _NOT_KNOWN:
                raise
            self._checksums.are_verified = False
            self._begin()
        else:
            self._id = begun["UploadId"]

    def _send(self, parts: Iterator[bytes]) -> list[Part]:
        """Send the parts in threads. An error of a thread or of the iterator ends all."""
        waiting: deque[Future[Part]] = deque()
        sent: list[Part] = []
        with ThreadPoolExecutor(PARTS_AT_ONCE, "upload") as pool:
            for number, part in enumerate(parts, 1):
                if number == 2 and self._checksums.are_verified is None:
                    sent.append(waiting.popleft().result())
                    self._detect_checksums(sent[0])
                if len(waiting) == PARTS_AT_ONCE:
                    sent.append(waiting.popleft().result())
                waiting.append(pool.submit(self._send_part, number, part))
                del part  # the thread frees the memory
            sent.extend(future.result() for future in waiting)
        return sent

    def _send_part(self, number: int, part: bytes) -> Part:
        """Send a part. The answer of a store that knows checksums repeats the checksum."""
        checksum: dict[Any, Any] = {"ChecksumSHA256": _checksum(part)} if self._has_checksums else {}
        try:
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=self._id, PartNumber=number, Body=part, **checksum
            )
        except self._client.exceptions.ClientError as error:
            code, status = s3_code_of(error)
            if not checksum or number > 1 or status not in _NOT_KNOWN or code in MISMATCH_CODES:
                raise
            self._has_checksums = False
            return self._send_part(number, part)
        known = checksum if answer.get("ChecksumSHA256") else {}
        return {"PartNumber": number, "ETag": answer["ETag"], **known}

    def _detect_checksums(self, first: Part) -> None:
        """Find out whether the store verifies checksums, after it stored the first part."""
        self._has_checksums = "ChecksumSHA256" in first
        self._checksums.are_verified = self._has_checksums and self._is_wrong_checksum_refused()

    def _is_wrong_checksum_refused(self) -> bool:
        """Send a second part that differs from its checksum. If the store accepts it, the real part replaces it."""
        wrong = _checksum(b"another part")
        self._checksums.asker = threading.get_ident()
        try:
            self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                PartNumber=2,
                Body=b"part",
                ChecksumSHA256=wrong,
            )
        except self._client.exceptions.ClientError as error:
            code, status = s3_code_of(error)
            if status == 429 or (status >= 500 and status not in _NOT_KNOWN):
                raise
            return code in MISMATCH_CODES
        finally:
            self._checksums.asker = None
        return False


def _parts(blocks: Iterable[bytes], part_bytes: int) -> Generator[bytes]:
    """Regroup blocks into parts of equal size. The last part may be smaller. A generator of blocks is closed."""
    held: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            held.append(block)
            size += len(block)
            if size >= part_bytes:
                joined = b"".join(held)
                size %= part_bytes
                held = [joined[len(joined) - size :]]
                for begin in range(0, len(joined) - size, part_bytes):
                    yield joined[begin : begin + part_bytes]
                del joined  # frees the memory before the next part is made
        if size:
            yield b"".join(held)
    finally:
        if isinstance(blocks, Generator):
            blocks.close()


def _checksum(content: bytes) -> str:
    """Return the SHA-256 in S3's encoding."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
