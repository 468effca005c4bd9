"""The doctor's checks of buckets and clocks, on real stores."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from doctor_findings import only, outcome_of
from sample_dataset import THINGS, connection, lake, no_block

from tasks import connections
from tasks.doctor import services
from tasks.engine.doctor.bucket import (
    Bucket,
    check_conditions,
    check_encryption,
    check_reachable,
    check_rights,
    check_uploads,
    check_versions,
)
from tasks.engine.doctor.clocks import RemoteClock, check_clock, header_date, postgres_clock, s3_clock
from tasks.engine.lake.client import Lake
from tasks.engine.settings import LakeSettings, read_lake

if TYPE_CHECKING:
    from conftest import Store
    from mypy_boto3_s3 import S3Client

NAMED_BY = "LAKE_BUCKET or block `lake`"


@pytest.fixture
def checked(bucket: str) -> Bucket:
    del bucket  # it sets the environment
    return Bucket(lake(), NAMED_BY, "exports/")


def keys(administrator: "S3Client", name: str) -> list[str]:
    found = administrator.list_object_versions(Bucket=name)
    return [each["Key"] for each in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]]


@pytest.mark.every_store
def test_sound_bucket_has_no_finding_and_keeps_nothing(checked: Bucket, lake_administrator: "S3Client") -> None:
    for check in (check_reachable, check_rights, check_conditions, check_uploads):
        assert outcome_of(check, checked) == "ok", check
    assert keys(lake_administrator, checked.lake.bucket) == []


@pytest.mark.every_store
def test_versioned_bucket_keeps_no_object_of_the_checks(checked: Bucket, lake_administrator: "S3Client") -> None:
    assert "put-bucket-versioning" in only(check_versions(checked), "warning").next_step
    lake_administrator.put_bucket_versioning(Bucket=checked.lake.bucket, VersioningConfiguration={"Status": "Enabled"})
    for check in (check_versions, check_rights):
        assert outcome_of(check, checked) == "ok", check
    # With versions, Ceph 16 ignores If-None-Match.
    assert outcome_of(check_conditions, checked) in {"ok", "warning"}
    assert list(checked.lake.list("")) == []


def test_versions_of_the_checks_are_removed_by_a_key_that_may(
    checked: Bucket, store: "Store", lake_administrator: "S3Client"
) -> None:
    lake_administrator.put_bucket_versioning(Bucket=checked.lake.bucket, VersioningConfiguration={"Status": "Enabled"})
    with Lake(read_lake(os.environ | store.administration, no_block)) as lake_of_administrator:
        own = replace(checked, lake=lake_of_administrator)
        for check in (check_rights, check_conditions):
            assert outcome_of(check, own) == "ok", check
    assert keys(lake_administrator, checked.lake.bucket) == []


@pytest.mark.usefixtures("one_attempt")
def test_missing_bucket_and_wrong_key_are_problems(store: "Store", bucket: str) -> None:
    values = {
        "endpoint_url": store.environment["AWS_ENDPOINT_URL"],
        "access_key_id": store.environment["AWS_ACCESS_KEY_ID"],
        "secret_access_key": store.environment["AWS_SECRET_ACCESS_KEY"],
        "region": "us-east-1",
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bucket": "no-such-bucket-here"}, "NoSuchBucket"),
        ({"bucket": bucket, "secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"bucket": bucket, "access_key_id": "AKIAWRONGWRONGWRONGX"}, "InvalidAccessKeyId"),
        ({"bucket": bucket, "endpoint_url": "http://127.0.0.1:9"}, "did not answer"),
    ]
    for changes, words in cases:
        with Lake(LakeSettings.model_validate(values | changes)) as opened:
            found = only(check_reachable(Bucket(opened, NAMED_BY)), "problem")
        assert words in found.found
        assert NAMED_BY in found.next_step


def deny(administrator: "S3Client", name: str, *actions: str) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    administrator.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


@pytest.mark.parametrize(
    ("action", "right"),
    [
        ("s3:PutObject", "Allow s3:PutObject on arn:aws:s3:::{name}/exports/*"),
        ("s3:GetObject", "Allow s3:GetObject on arn:aws:s3:::{name}/exports/*"),
        ("s3:ListBucket", "Allow s3:ListBucket on arn:aws:s3:::{name}"),
    ],
)
def test_missing_right_is_a_problem(checked: Bucket, lake_administrator: "S3Client", action: str, right: str) -> None:
    deny(lake_administrator, checked.lake.bucket, action)
    try:
        found = only(check_rights(checked), "problem")
        assert found.next_step == right.format(name=checked.lake.bucket)
        assert "AccessDenied" in found.found
    finally:
        lake_administrator.delete_bucket_policy(Bucket=checked.lake.bucket)
    assert keys(lake_administrator, checked.lake.bucket) == []


def test_missing_right_to_delete_is_a_problem(checked: Bucket, lake_administrator: "S3Client") -> None:
    deny(lake_administrator, checked.lake.bucket, "s3:DeleteObject")
    try:
        assert "delete of" in only(check_rights(checked), "problem").found
    finally:
        lake_administrator.delete_bucket_policy(Bucket=checked.lake.bucket)


def test_versions_and_uploads_that_the_key_may_not_see_are_not_judged(
    checked: Bucket, lake_administrator: "S3Client"
) -> None:
    deny(lake_administrator, checked.lake.bucket, "s3:GetBucketVersioning", "s3:ListBucketMultipartUploads")
    try:
        assert "s3:GetBucketVersioning" in only(check_versions(checked), "skipped").next_step
        assert "s3:ListBucketMultipartUploads" in only(check_uploads(checked), "skipped").next_step
    finally:
        lake_administrator.delete_bucket_policy(Bucket=checked.lake.bucket)


@pytest.mark.parametrize(
    ("operation", "header", "outcome", "words"),
    [
        ("GetObject", "If-Match", "problem", "ignores If-Match on reads"),
        ("PutObject", "If-None-Match", "warning", "ignores If-None-Match on writes"),
    ],
)
def test_server_that_does_not_see_a_condition_is_reported(
    checked: Bucket, operation: str, header: str, outcome: Any, words: str
) -> None:
    def strip(request: Any, **_: Any) -> None:
        del request.headers[header]

    own = Lake(lake_settings())
    own.client.meta.events.register(f"before-sign.s3.{operation}", strip)
    with own:
        assert words in only(check_conditions(replace(checked, lake=own)), outcome).found


def test_unfinished_upload_is_reported_after_a_day(checked: Bucket) -> None:
    client, name = checked.lake.client, checked.lake.bucket
    uploads = [client.create_multipart_upload(Bucket=name, Key=f"a/{number}.csv") for number in range(7)]
    assert outcome_of(check_uploads, checked) == "ok"
    found = only(check_uploads(replace(checked, upload_age=timedelta(seconds=-60))), "warning")
    assert found.found.startswith("7 uploads are unfinished since ")
    assert "a/4.csv and 2 more" in found.found
    assert f"--bucket {name} --key 'a/0.csv' --upload-id {uploads[0]['UploadId']}" in found.next_step


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        (None, "ok"),
        ("https://s3.example", "ok"),
        ("http://127.0.0.1:9000", "skipped"),
        ("http://localhost", "skipped"),
        ("http://s3:8333", "warning"),
    ],
)
def test_tls_is_judged_by_the_address(checked: Bucket, url: str | None, outcome: str) -> None:
    assert outcome_of(check_encryption, replace(checked, endpoint_url=url)) == outcome


@pytest.mark.every_store
def test_clocks_of_the_services_agree_with_this_machine(checked: Bucket, database: str) -> None:
    del database  # it sets the environment
    with connection() as opened:
        for read in (postgres_clock(opened), s3_clock(checked.lake)):
            assert outcome_of(check_clock, RemoteClock("x", read)) == "ok"


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-301, "problem"), (-240, "warning"), (-30, "warning"), (30, "warning"), (240, "warning"), (301, "problem")],
)
def test_wrong_clock_of_this_machine_is_reported(checked: Bucket, database: str, seconds: int, outcome: Any) -> None:
    del database  # it sets the environment

    def own() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    with connection() as opened:
        for name, read in (("Postgres", postgres_clock(opened)), ("S3", s3_clock(checked.lake))):
            found = only(check_clock(RemoteClock(name, read, own)), outcome)
            assert found.found.startswith(f"the clock of {name} differs from this machine's clock by ")


def test_date_header_is_read_as_the_middle_of_its_second() -> None:
    assert header_date("Fri, 01 Jan 2027 00:00:00 GMT") == datetime(2027, 1, 1, 0, 0, 0, 500_000, UTC)


def lake_settings() -> LakeSettings:
    return read_lake(os.environ, no_block)


def test_bucket_of_a_dataset_is_only_read(
    bucket: str,
    new_bucket: Callable[[], AbstractContextManager[str]],
    lake_administrator: "S3Client",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del bucket  # it sets the environment
    known = {"things": replace(THINGS, bucket="no-such-bucket"), "others": replace(THINGS, dataset="others")}
    monkeypatch.setattr(connections, "contracts", lambda: known)
    monkeypatch.setattr(services, "sources", dict)

    def findings() -> list[str]:
        found = [each for each in services.examine_buckets() if each.area == "Bucket THINGS_BUCKET"]
        return [each.finding.outcome for each in found]

    with new_bucket() as supplier:
        monkeypatch.setenv("THINGS_BUCKET", supplier)
        assert findings() == ["ok"]
        assert keys(lake_administrator, supplier) == []
    monkeypatch.delenv("THINGS_BUCKET")
    assert findings() == ["problem"]
