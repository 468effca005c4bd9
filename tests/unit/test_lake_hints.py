import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    SSLError,
)

from tasks.engine.errors import LakeError, LakeUnavailableError, translate


def refused(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("NoSuchBucket", 404, ["LAKE_BUCKET", "block `lake`"]),
        ("InvalidAccessKeyId", 403, ["AWS_ACCESS_KEY_ID", "block `lake`"]),
        ("SignatureDoesNotMatch", 403, ["AWS_SECRET_ACCESS_KEY", "block `lake`"]),
        ("ExpiredToken", 400, ["AWS_SESSION_TOKEN", "block `lake`"]),
        ("InvalidToken", 400, ["AWS_SESSION_TOKEN"]),
        ("AccessDenied", 403, ["permission", "LAKE_BUCKET", "AWS_ACCESS_KEY_ID"]),
        ("403", 403, ["permission", "AWS_ACCESS_KEY_ID"]),
        ("PermanentRedirect", 301, ["AWS_REGION", "AWS_ENDPOINT_URL"]),
        ("301", 301, ["AWS_REGION"]),
        ("AuthorizationHeaderMalformed", 400, ["AWS_REGION", "block `lake`"]),
    ],
)
def test_refused_request_names_what_to_set(code: str, status: int, words: list[str]) -> None:
    error = translate(refused(code, status), "s3://b/k")
    assert type(error) is LakeError
    for word in words:
        assert word in str(error)


def test_missing_bucket_names_the_setting_of_that_bucket() -> None:
    error = translate(refused("NoSuchBucket", 404), "s3://b/k", "OFFICE_CSV_BUCKET")
    assert "correct OFFICE_CSV_BUCKET" in str(error)
    assert "LAKE_BUCKET" not in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (NoCredentialsError(), LakeError, "AWS_ACCESS_KEY_ID"),
        (PartialCredentialsError(provider="env", cred_var="x"), LakeError, "AWS_SECRET_ACCESS_KEY"),
        (CredentialRetrievalError(provider="x", error_msg="x"), LakeError, "AWS_PROFILE"),
        (NoRegionError(), LakeError, "AWS_REGION"),
        (EndpointConnectionError(endpoint_url="http://x"), LakeUnavailableError, "AWS_ENDPOINT_URL"),
        (SSLError(endpoint_url="https://x", error="EOF occurred"), LakeUnavailableError, "AWS_CA_BUNDLE"),
        (SSLError(endpoint_url="https://x", error="CERTIFICATE_VERIFY_FAILED"), LakeError, "AWS_CA_BUNDLE"),
        (SSLError(endpoint_url="https://x", error="[SSL: WRONG_VERSION_NUMBER]"), LakeError, "AWS_ENDPOINT_URL"),
    ],
)
def test_request_that_never_reached_s3_names_what_to_set(error: Exception, kind: type[Exception], word: str) -> None:
    typed = translate(error, "s3://b/k")
    assert type(typed) is kind
    assert word in str(typed)
