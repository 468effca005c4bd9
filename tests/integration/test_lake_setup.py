"""The preconditions of a run in S3, and the messages about missing ones."""

from collections.abc import Iterator

import boto3
import pytest
from sample_dataset import client, lake

from deployments.local.s3_service import REGION, S3Server
from tasks.engine.errors import LakeSetupError, is_transient
from tasks.engine.lake.client import Lake
from tasks.engine.lake.setup import check_lake_setup
from tasks.engine.settings import LakeSettings

MARKER = "setup_success_csv_input.txt"


def refused(checked: Lake) -> str:
    with pytest.raises(LakeSetupError) as caught:
        check_lake_setup(checked, "input/", MARKER)
    assert not is_transient(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


def lake_of(server: S3Server, bucket: str) -> Lake:
    key = server.key
    return Lake(
        LakeSettings.model_validate(
            {
                "bucket": bucket,
                "endpoint_url": server.endpoint_url,
                "access_key_id": key.key_id,
                "secret_access_key": key.secret,
                "region": REGION,
            }
        )
    )


def test_server_without_buckets_says_so(empty_server: S3Server) -> None:
    assert refused(lake_of(empty_server, "office-csv")).startswith("No buckets found: expected office-csv, found no")


def test_missing_bucket_among_others_says_so(empty_server: S3Server) -> None:
    key = empty_server.administrator_key
    session = boto3.Session(key.key_id, key.secret, region_name=REGION)
    administrator = session.client("s3", endpoint_url=empty_server.endpoint_url)
    administrator.create_bucket(Bucket="another")
    words = refused(lake_of(empty_server, "no-such-bucket"))
    administrator.delete_bucket(Bucket="another")
    assert words.startswith("Prefix not found in any bucket: expected bucket no-such-bucket, found another")


@pytest.mark.parametrize("keys", [[], ["processed/x.txt", "inputs/x.txt"]], ids=["empty", "others"])
def test_bucket_without_the_prefix_says_so(bucket: str, keys: list[str]) -> None:
    for key in keys:
        client().put_object(Bucket=bucket, Key=key)
    assert refused(lake()).startswith(f"Prefix not found in any bucket: expected objects below s3://{bucket}/input/")


@pytest.mark.parametrize("keys", [["input/"], ["input/1/staff.csv", f"input/{MARKER}.bak", f"processed/{MARKER}"]])
def test_bucket_without_the_marker_says_so(bucket: str, keys: list[str]) -> None:
    for key in keys:
        client().put_object(Bucket=bucket, Key=key)
    assert refused(lake()).startswith(f"Terraform deployment unsuccessful: expected s3://{bucket}/input/{MARKER}")


@pytest.mark.parametrize("keys", [[f"input/{MARKER}"], ["input/", MARKER], [f"input/{MARKER}", "input/1/a.csv"]])
def test_bucket_with_the_marker_is_set_up(bucket: str, keys: list[str]) -> None:
    for key in keys:
        client().put_object(Bucket=bucket, Key=key)
    check_lake_setup(lake(), "input/", MARKER)
