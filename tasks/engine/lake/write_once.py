"""Write-once objects: creates objects without overwriting others, and moves objects with verification.

`If-None-Match` makes the S3 server refuse to overwrite an object. Some servers ignore this header. On these servers a
check before the write protects existing objects, because the caller is the only writer.
"""

import hashlib
from collections.abc import Iterable, Iterator

from tasks.engine.errors import BalanceError, MissingObjectError, ObjectExistsError, errors_at, s3_code_of
from tasks.engine.lake import client as lakes
from tasks.engine.lake.client import Lake, StoredObject


def find_object(lake: Lake, key: str) -> StoredObject | None:
    """Return the metadata of an object, or None if the object does not exist."""
    try:
        return lake.head(key)
    except MissingObjectError:
        return None


def write_new(lake: Lake, key: str, blocks: Iterable[bytes], content_type: str) -> StoredObject:
    """Write blocks into a new object. The object appears atomically.

    Raises:
        ObjectExistsError: The key already has an object with different content. That object is unchanged.
        TallyError: Producing the blocks or the upload failed. No object was created.
    """
    uri = lake.uri(key)
    with errors_at(uri):
        if find_object(lake, key):
            raise _exists(uri)
        digest = hashlib.sha256()
        upload = lake.upload(key, content_type)
        try:
            checksum = upload.write(_digested(blocks, digest), lakes.PART_BYTES, is_new=True)
        except lake.client.exceptions.ClientError as error:
            # If a response was lost, the client repeats a request that had succeeded, and the server refuses it.
            if s3_code_of(error)[1] != 412 and s3_code_of(error)[0] != "NoSuchUpload":
                raise
            stored = find_object(lake, key)
            if stored is None or lake.sha256(stored) != digest.hexdigest():
                raise _exists(uri) from error
            return stored
        return lake.head(key, checksum)


def _exists(uri: str) -> ObjectExistsError:
    return ObjectExistsError(
        f"{uri}: expected no object there, found one. Tally never overwrites an object with a run's number. Find the"
        " other writer; the next run uses another number"
    )


def _digested(blocks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    """Yield the same blocks, and add them to the digest."""
    for block in blocks:
        digest.update(block)
        yield block


def move_object(lake: Lake, stored: StoredObject, key: str) -> StoredObject:
    """Move an object to another key: copy the object, compare both, and remove the original.

    A copy from an earlier attempt is reused. The caller must be the only writer.

    Raises:
        ObjectExistsError: The key already has an object with different content. Both objects are unchanged.
        BalanceError: The copy differs from the object. The object was not removed.
    """
    with errors_at(lake.uri(stored.key)):
        moved = find_object(lake, key)
        if moved is None:
            from boto3.s3 import inject  # noqa: PLC0415 - slow to import
            from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

            # The copy uses the same part size as the upload, so that both have the same ETag.
            config = TransferConfig(multipart_threshold=lakes.PART_BYTES, multipart_chunksize=lakes.PART_BYTES)
            source = {"Bucket": lake.bucket, "Key": stored.key}
            is_same = {"CopySourceIfMatch": f'"{stored.version}"'}
            inject.copy(lake.client, source, lake.bucket, key, ExtraArgs=is_same, Config=config)
            moved = lake.head(key)
            if not _is_same(lake, moved, stored):
                raise BalanceError(
                    f"{lake.uri(key)}: expected a copy of {stored.key}, found different content. Nothing was removed."
                    " Remove the copy and run again"
                )
        elif not _is_same(lake, moved, stored):
            raise _exists(lake.uri(key))
        lake.client.delete_object(Bucket=lake.bucket, Key=stored.key)
    return moved


def _is_same(lake: Lake, one: StoredObject, other: StoredObject) -> bool:
    if one.size_bytes != other.size_bytes:
        return False
    # The server may give the same bytes another ETag.
    return one.version == other.version or lake.sha256(one) == lake.sha256(other)
