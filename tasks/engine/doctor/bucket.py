"""Checks of a bucket: rights, conditions, versions, and uploads that nobody finished."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from tasks.engine.doctor.outcomes import Check, Finding, counted, ok, problem, skipped, warning
from tasks.engine.doctor.warehouse_server import LOOPBACK
from tasks.engine.errors import TallyError, s3_code_of, translate
from tasks.engine.lake.client import Lake
from tasks.engine.quoting import listed

PROBE = ".doctor-"
"""Beginning of the name of the object that the checks write and remove."""

EXAMPLES = 5
_REFUSED = (412, "PreconditionFailed")
_NOT_IMPLEMENTED = {"NotImplemented", "MethodNotAllowed"}


@dataclass(frozen=True)
class Bucket:
    """A bucket that is checked.

    Attributes:
        lake: The bucket.
        named_by: The setting that names the bucket.
        prefix: Prefix under which runs and checks write.
        endpoint_url: Address of the S3 server; None for AWS.
        upload_age: Age at which an unfinished upload counts as abandoned.
    """

    lake: Lake
    named_by: str
    prefix: str = ""
    endpoint_url: str | None = None
    upload_age: timedelta = timedelta(days=1)


def check_reachable(bucket: Bucket) -> Iterator[Finding]:
    """The bucket exists, and the key may list it."""
    try:
        next(bucket.lake.list(bucket.prefix), None)
    except TallyError as error:
        yield problem(
            str(error),
            f"bucket {bucket.lake.bucket}, which {bucket.named_by} names",
            f"Correct {bucket.named_by} or its key",
        )
    else:
        yield ok(f"bucket {bucket.lake.bucket} answers, and the key may list it")


@contextmanager
def _probe(bucket: Bucket) -> Iterator[str]:
    """Write a small object under a key that nobody else uses, yield the key, and remove all versions of the object."""
    key = f"{bucket.prefix}{PROBE}{uuid.uuid4().hex}"
    bucket.lake.client.put_object(Bucket=bucket.lake.bucket, Key=key, Body=b"doctor")
    try:
        yield key
    finally:
        _remove(bucket, key)


def _remove(bucket: Bucket, key: str) -> None:
    """Remove an object with all its versions; without the right for versions, only the current one."""
    client, name = bucket.lake.client, bucket.lake.bucket
    with suppress(client.exceptions.ClientError):
        client.delete_object(Bucket=name, Key=key)
    with suppress(client.exceptions.ClientError):
        found = client.list_object_versions(Bucket=name, Prefix=key)
        for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            client.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])


def check_rights(bucket: Bucket) -> Iterator[Finding]:
    """The key may list, read, write and remove objects, as runs do."""
    key, name, client = f"{bucket.prefix}{PROBE}{uuid.uuid4().hex}", bucket.lake.bucket, bucket.lake.client
    steps = (
        ("put", "s3:PutObject", lambda: client.put_object(Bucket=name, Key=key, Body=b"doctor")),
        ("list", "s3:ListBucket", lambda: client.list_objects_v2(Bucket=name, Prefix=key)),
        ("get", "s3:GetObject", lambda: client.get_object(Bucket=name, Key=key)),
        ("delete", "s3:DeleteObject", lambda: client.delete_object(Bucket=name, Key=key)),
    )
    done: list[str] = []
    try:
        for verb, right, step in steps:
            try:
                step()
            except bucket.lake.client.exceptions.ClientError as error:
                if verb in {"get", "delete"} and "put" not in done:
                    continue  # nothing exists to read or remove
                yield problem(
                    f"{verb} of {bucket.lake.uri(key)} was refused: {translate(error, verb, bucket.named_by)}",
                    "the rights to list, get, put and delete objects",
                    f"Allow {right} on arn:aws:s3:::{name}{'' if verb == 'list' else f'/{bucket.prefix}*'}",
                )
            else:
                done.append(verb)
    finally:
        _remove(bucket, key)
    if len(done) == len(steps):
        yield ok(f"the key may {listed(done)} objects under {bucket.lake.uri(bucket.prefix)}")


def check_conditions(bucket: Bucket) -> Iterator[Finding]:
    """The server honours If-Match, which pins reads to a version, and If-None-Match, which protects existing files."""
    client, name = bucket.lake.client, bucket.lake.bucket
    with _probe(bucket) as key:
        is_pinned = _is_refused(bucket, lambda: client.get_object(Bucket=name, Key=key, IfMatch='"another"'))
        is_new = _is_refused(bucket, lambda: client.put_object(Bucket=name, Key=key, Body=b"again", IfNoneMatch="*"))
    if not is_pinned:
        yield problem(
            "the S3 server ignores If-Match on reads",
            "an answer 412: otherwise a read that resumes can mix two versions of an object",
            "Use a server that honours If-Match, such as AWS S3, SeaweedFS or Ceph",
        )
    if not is_new:
        yield warning(
            "the S3 server ignores If-None-Match on writes",
            "an answer 412. Tally checks for an existing object first, which is enough only while one run writes",
            "Use a server that honours If-None-Match. Otherwise, run each sync in one place only",
        )
    if is_pinned and is_new:
        yield ok("the S3 server honours If-Match and If-None-Match")


def _is_refused(bucket: Bucket, request: Callable[[], object]) -> bool:
    try:
        request()
    except bucket.lake.client.exceptions.ClientError as error:
        code, status = s3_code_of(error)
        if status in _REFUSED or code in _REFUSED:
            return True
        raise
    return False


def check_versions(bucket: Bucket) -> Iterator[Finding]:
    """The bucket keeps the previous version of an object that somebody replaces or removes."""
    try:
        status = bucket.lake.client.get_bucket_versioning(Bucket=bucket.lake.bucket).get("Status", "off")
    except bucket.lake.client.exceptions.ClientError as error:
        code, http_status = s3_code_of(error)
        if http_status not in {403, 501} and code not in _NOT_IMPLEMENTED:
            raise
        yield skipped(
            f"the key may not read whether the bucket keeps versions [{code}]", "Allow s3:GetBucketVersioning"
        )
        return
    if status == "Enabled":
        yield ok("the bucket keeps previous versions")
    else:
        yield warning(
            f"versioning is {status.lower()}",
            "enabled: a replaced or removed object can then be restored",
            f"aws s3api put-bucket-versioning --bucket {bucket.lake.bucket} --versioning-configuration Status=Enabled",
        )


def check_uploads(bucket: Bucket) -> Iterator[Finding]:
    """No upload is unfinished for long: its parts cost storage and appear in no listing."""
    name, limit = bucket.lake.bucket, datetime.now(UTC) - bucket.upload_age
    pages = bucket.lake.client.get_paginator("list_multipart_uploads").paginate(Bucket=name)
    try:
        old = [
            upload
            for page in pages
            for upload in page.get("Uploads", [])
            if upload["Initiated"].astimezone(UTC) <= limit
        ]
    except bucket.lake.client.exceptions.ClientError as error:
        if s3_code_of(error)[1] != 403:
            raise
        yield skipped("the key may not list unfinished uploads", "Allow s3:ListBucketMultipartUploads")
        return
    if not old:
        yield ok("no upload has been unfinished for more than a day")
        return
    first, names = old[0], listed([upload["Key"] for upload in old], EXAMPLES)
    yield warning(
        f"{counted(len(old), 'upload is', 'uploads are')} unfinished since"
        f" {min(upload['Initiated'] for upload in old):%Y-%m-%d}: {names}",
        "no upload older than a day: the parts cost storage until somebody removes them",
        f"aws s3api abort-multipart-upload --bucket {name} --key '{first['Key']}' --upload-id {first['UploadId']}\n"
        "Repeat the command for each upload, or add a lifecycle rule with AbortIncompleteMultipartUpload",
    )


def check_encryption(bucket: Bucket) -> Iterator[Finding]:
    """Requests use TLS. Without TLS, objects travel in clear, although requests are signed."""
    url = urlsplit(bucket.endpoint_url or "https://")
    if url.scheme == "https":
        yield ok("requests use TLS")
    elif (url.hostname or "") in LOOPBACK:
        yield skipped("the server is on this machine, so requests need no TLS")
    else:
        yield warning(
            f"{bucket.endpoint_url}: objects travel without TLS",
            "https://, unless the network between the flows and the server is private",
            "Set AWS_ENDPOINT_URL to an https:// address, and AWS_CA_BUNDLE for an authority of your own",
        )


BUCKET_CHECKS = (
    Check("rights", check_rights),
    Check("conditions", check_conditions),
    Check("unfinished uploads", check_uploads),
    Check("TLS", check_encryption),
)
VERSIONS = Check("versions", check_versions)
"""The check of versions, for buckets in which people replace objects. Syncs write each file once."""

REACHABLE = Check("reachable", check_reachable)
