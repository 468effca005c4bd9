"""Set up the buckets of an installation: check that they exist, and leave the markers that the sources' runs ask for.

    python -m deployments.lake_setup             the buckets exist: deployments/aws/tally.yaml has created them
    python -m deployments.lake_setup --create    also create the buckets that do not exist

The owner of the buckets runs the command, with the settings of `deployments/.env` and with AWS credentials that may
write to the buckets. It can be repeated. A run of a source refuses a store without its marker.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tasks.contracts import catalog
from tasks.engine.lake.setup import marker_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_DAYS = 2
"""Days after which the server removes the parts of an unfinished upload. No upload of a run takes so long."""


class BucketError(Exception):
    """A bucket does not exist, or the credentials may not use it."""


def set_up(s3: "S3Client", environ: Mapping[str, str], *, may_create: bool = False) -> Iterator[str]:
    """Check all buckets first; then leave a marker in each store of each declared source.

    Args:
        s3: A client with the owner's credentials.
        environ: The environment with the names of the buckets. Without `LAKE_BUCKET`, the lake is left out.
        may_create: Whether to create the buckets that do not exist.

    Yields:
        One line for each bucket and marker, with the action taken.

    Raises:
        BucketError: A bucket is missing, or the credentials may not use it. No marker was written.
    """
    stores = [
        (setting, kind)
        for source in catalog.sources().values()
        for setting, kind in ((source.csv_bucket, "csv"), (source.parquet_bucket, "parquet"))
    ]
    named = {"LAKE_BUCKET": environ.get("LAKE_BUCKET", "").strip()}
    datasets = [each.bucket_setting for each in catalog.contracts().values() if each.bucket_setting]
    named |= {setting.variable: setting.value_in(environ) for setting in datasets}
    named |= {setting.variable: setting.value_in(environ) for setting, _ in stores}
    for variable, bucket in named.items():
        if bucket:
            yield f"bucket {bucket} ({variable}): {_ensure_bucket(s3, bucket, variable, may_create)}"
    for setting, kind in stores:
        bucket = named[setting.variable]
        yield f"marker s3://{bucket}/{marker_key(kind)}: {_ensure_marker(s3, bucket, marker_key(kind))}"


def _ensure_bucket(s3: "S3Client", bucket: str, variable: str, may_create: bool) -> str:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404 and may_create:
            return _create(s3, bucket)
        if status == 404:
            raise BucketError(
                f"expected bucket {bucket}, which {variable} names, found none. Create it with "
                "deployments/aws/tally.yaml or with --create, or correct the name"
            ) from error
        raise BucketError(
            f"expected access to bucket {bucket}, which {variable} names, got status {status}. Use credentials of its "
            "owner, or correct the name or the region"
        ) from error
    return "exists"


def _create(s3: "S3Client", bucket: str) -> str:
    region = s3.meta.region_name
    if region == "us-east-1":  # the server refuses the name of its default region
        s3.create_bucket(Bucket=bucket)
    else:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "unfinished-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
                }
            ]
        },
    )
    return f"created, with versioning; uploads that are unfinished after {UPLOAD_DAYS} days are removed"


def _ensure_marker(s3: "S3Client", bucket: str, key: str) -> str:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        return "written"
    return "exists"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.lake_setup", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--create", action="store_true", help="create the buckets that do not exist")
    arguments = parser.parse_args()
    try:
        for line in set_up(boto3.client("s3"), os.environ, may_create=arguments.create):
            print(line)
    except (BucketError, BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
