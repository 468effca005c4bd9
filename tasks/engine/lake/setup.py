"""The preconditions of a run in S3: a bucket, a prefix, and a marker object that shows that the setup is complete."""

from tasks.engine.errors import LakeError, LakeSetupError, errors_at, s3_code_of
from tasks.engine.lake.client import Lake

STORE_PREFIX = "input/"
"""The prefix of the files of a run in a store."""


def marker_of(kind: str) -> str:
    """Name of the marker of a store. The setup of the store leaves it as its last step."""
    return f"setup_success_{kind}_input.txt"


def marker_key(kind: str) -> str:
    """Key of the marker of a store."""
    return STORE_PREFIX + marker_of(kind)


def check_lake_setup(lake: Lake, prefix: str, marker: str) -> None:
    """Verify that a bucket was set up.

    Args:
        lake: The bucket.
        prefix: The prefix of the objects' keys, such as `input/`.
        marker: Name of an empty object, below the prefix or at the top of the bucket. The deployment of the bucket
            writes it as its last step.

    Raises:
        LakeSetupError: The message has the words of the specification: `No buckets found` if no bucket exists, `Prefix
            not found in any bucket` if this bucket or the prefix does not exist, and `Terraform deployment
            unsuccessful` if the marker does not exist.
        TallyError: S3 refused the request or did not answer.
    """
    try:
        if any(stored.key in (prefix + marker, marker) for key in (prefix, "") for stored in lake.list(key + marker)):
            return
        has_prefix = next(lake.list(prefix), None) is not None
    except LakeError as error:
        if not _is_missing_bucket(lake, error):
            raise
        raise LakeSetupError(_without_bucket(lake)) from error
    if not has_prefix:
        raise LakeSetupError(
            f"Prefix not found in any bucket: expected objects below {lake.uri(prefix)}, found none. Set the bucket up"
            f" (python -m deployments.lake_setup puts {lake.uri(prefix + marker)} there), or correct its name in the"
            " settings"
        )
    raise LakeSetupError(
        f"Terraform deployment unsuccessful: expected {lake.uri(prefix + marker)}, which the setup of the bucket writes"
        " last, found none. Finish the deployment (python -m deployments.lake_setup leaves the marker), then run again"
    )


def _is_missing_bucket(lake: Lake, error: LakeError) -> bool:
    cause = error.__cause__
    return isinstance(cause, lake.client.exceptions.ClientError) and s3_code_of(cause)[0] == "NoSuchBucket"


def _without_bucket(lake: Lake) -> str:
    with errors_at("list of buckets"):
        try:
            names = [bucket.get("Name", "") for bucket in lake.client.list_buckets()["Buckets"]]
        except lake.client.exceptions.ClientError as error:
            if s3_code_of(error)[1] != 403:
                raise
            names = ["others, which these credentials may not list"]
    if not names:
        return (
            f"No buckets found: expected {lake.bucket}, found no bucket at all. Create it, or correct the endpoint and"
            " the account in the settings"
        )
    return (
        f"Prefix not found in any bucket: expected bucket {lake.bucket}, found {', '.join(sorted(names)[:10])}."
        " Create it, or correct its name in the settings"
    )
