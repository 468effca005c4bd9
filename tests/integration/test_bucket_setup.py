"""The command that sets up the buckets of an installation."""

import sys
import uuid
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from sample_source import OFFICE

from deployments import lake_setup
from tasks.contracts import catalog
from tasks.engine.lake.setup import marker_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Names = dict[str, str]


@pytest.fixture
def names(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Names:
    """The lake, which exists, and two stores, which do not, of the only source."""
    monkeypatch.setattr(catalog, "sources", lambda: {OFFICE.name: OFFICE})
    own = uuid.uuid4().hex[:8]
    return {"LAKE_BUCKET": bucket, "OFFICE_CSV_BUCKET": f"csv-{own}", "OFFICE_PARQUET_BUCKET": f"parquet-{own}"}


def keys(s3: "S3Client", bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_missing_stores_are_created_and_marked_once(names: Names, lake_administrator: "S3Client") -> None:
    said = list(lake_setup.set_up(lake_administrator, names, may_create=True))
    assert [line.rpartition(": ")[2].split(",")[0] for line in said] == ["exists", *["created"] * 2, *["written"] * 2]
    for kind in ("csv", "parquet"):
        store = names[f"OFFICE_{kind.upper()}_BUCKET"]
        assert keys(lake_administrator, store) == [marker_key(kind)]
        assert lake_administrator.get_bucket_versioning(Bucket=store)["Status"] == "Enabled"
        [rule] = lake_administrator.get_bucket_lifecycle_configuration(Bucket=store)["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": lake_setup.UPLOAD_DAYS}
    again = list(lake_setup.set_up(lake_administrator, names))
    assert all(line.endswith(": exists") for line in again)


def test_missing_bucket_is_named_with_its_setting_and_nothing_is_marked(
    names: Names, lake_administrator: "S3Client"
) -> None:
    lake_administrator.create_bucket(Bucket=names["OFFICE_CSV_BUCKET"])
    with pytest.raises(
        lake_setup.BucketError, match=f"bucket {names['OFFICE_PARQUET_BUCKET']}, which OFFICE_PARQUET_B"
    ):
        list(lake_setup.set_up(lake_administrator, names))
    assert keys(lake_administrator, names["OFFICE_CSV_BUCKET"]) == []


def test_error_names_the_missing_right_to_create_buckets(names: Names) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        list(lake_setup.set_up(boto3.client("s3"), names, may_create=True))


def test_installation_without_sources_needs_the_lake_only(
    names: Names, lake_administrator: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "sources", dict)
    assert list(lake_setup.set_up(lake_administrator, names)) == [
        f"bucket {names['LAKE_BUCKET']} (LAKE_BUCKET): exists"
    ]
    assert list(lake_setup.set_up(lake_administrator, {})) == []


def test_command_ends_with_the_reason_and_no_traceback(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["lake_setup"])
    with pytest.raises(SystemExit) as ended:
        lake_setup.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == f"bucket {names['LAKE_BUCKET']} (LAKE_BUCKET): exists\n"
    assert said.err.startswith(
        f"expected bucket {names['OFFICE_CSV_BUCKET']}, which OFFICE_CSV_BUCKET names, found none"
    )
