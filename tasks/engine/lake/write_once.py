"""Objects that are written once: put where none stands, and moved, verified, without a byte that could be lost.

A store is asked for that by `If-None-Match`. Some do not know it: there the look beforehand, and the one writer that
the caller is, are what keeps an object from being overwritten.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tasks.engine.errors import BalanceError, MissingObjectError, ObjectExistsError, errors_at, s3_code_of
from tasks.engine.lake import client as lakes
from tasks.engine.lake.client import Lake, StoredObject


def find_object(lake: Lake, key: str) -> StoredObject | None:
    """The object as it stands now; None where there is none."""
    try:
        return lake.head(key)
    except MissingObjectError:
        return None


def write_new(lake: Lake, key: str, blocks: Iterable[bytes], content_type: str) -> StoredObject:
    """Stream blocks into an object where none stands, in parts; it appears whole at the end, or not at all.

    Raises:
        ObjectExistsError: Another content stands there, and stays.
        TallyError: The blocks or S3 failed; nothing is left there.
    """
    uri = lake.uri(key)
    with errors_at(uri):
        if find_object(lake, key):
            raise _exists(uri)
        digest = hashlib.sha256()
        parts = _parts(blocks, digest)
        first, second = next(parts, b""), next(parts, None)
        try:
            if second is None:
                lake.client.put_object(
                    Bucket=lake.bucket, Key=key, Body=first, ContentType=content_type, IfNoneMatch="*"
                )
            else:
                _write_parts(lake, key, _chained(first, second, parts), content_type)
        except ClientError as error:
            # An answer that was lost on its way makes the client ask again, and the store refuse what it did take.
            if s3_code_of(error)[1] != 412 and s3_code_of(error)[0] != "NoSuchUpload":
                raise
            stored = find_object(lake, key)
            if stored is None or lake.sha256(stored) != digest.hexdigest():
                raise _exists(uri) from error
            return stored
        return lake.head(key)


def _exists(uri: str) -> ObjectExistsError:
    return ObjectExistsError(
        f"{uri}: expected no object there, found one; what stands under a run's number is never overwritten. See who"
        " writes there besides; the next run takes another number"
    )


def _parts(blocks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    """Blocks as parts of one size, but for the last."""
    held = bytearray()
    for block in blocks:
        digest.update(block)
        held += block
        while len(held) >= lakes.PART_BYTES:
            yield bytes(held[: lakes.PART_BYTES])
            del held[: lakes.PART_BYTES]
    if held:
        yield bytes(held)


def _chained(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _write_parts(lake: Lake, key: str, parts: Iterator[bytes], content_type: str) -> None:
    upload = lake.client.create_multipart_upload(Bucket=lake.bucket, Key=key, ContentType=content_type)["UploadId"]
    try:
        tags = [
            lake.client.upload_part(Bucket=lake.bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)["ETag"]
            for number, part in enumerate(parts, 1)
        ]
        lake.client.complete_multipart_upload(
            Bucket=lake.bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]},
            IfNoneMatch="*",
        )
    except BaseException:
        with contextlib.suppress(Exception):  # what is left, the next run removes
            lake.client.abort_multipart_upload(Bucket=lake.bucket, Key=key, UploadId=upload)
        raise


def move_object(lake: Lake, stored: StoredObject, key: str) -> StoredObject:
    """Move an object to another key: a copy is made and compared, then the object is removed.

    A copy that an earlier try left is taken. The caller is the only writer there.

    Raises:
        ObjectExistsError: Another content stands under that key, and stays, as does the object.
        BalanceError: The copy that was made is another.
    """
    with errors_at(lake.uri(stored.key)):
        moved = find_object(lake, key)
        if moved is None:
            # In parts of the same size as it was written, so that the copy has the same ETag.
            config = TransferConfig(multipart_threshold=lakes.PART_BYTES + 1, multipart_chunksize=lakes.PART_BYTES)
            source = {"Bucket": lake.bucket, "Key": stored.key}
            is_same = {"CopySourceIfMatch": f'"{stored.version}"'}
            lake.client.copy(source, lake.bucket, key, ExtraArgs=is_same, Config=config)  # type: ignore[arg-type]
            moved = lake.head(key)
            if not _is_same(lake, moved, stored):
                raise BalanceError(
                    f"{lake.uri(key)}: copied from {stored.key}, found another content; nothing was removed"
                )
        elif not _is_same(lake, moved, stored):
            raise _exists(lake.uri(key))
        lake.client.delete_object(Bucket=lake.bucket, Key=stored.key)
    return moved


def _is_same(lake: Lake, one: StoredObject, other: StoredObject) -> bool:
    if one.size_bytes != other.size_bytes:
        return False
    # A store is free to give the same bytes another ETag.
    return one.version == other.version or lake.sha256(one) == lake.sha256(other)
