"""Hints for errors of S3: the variable, block or permission to check."""

LAKE_BUCKET = "LAKE_BUCKET or block `lake`"
"""The settings that name the bucket of the lake."""

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials of block `lake`"
_REGION = "AWS_REGION, or the region in the credentials of block `lake`"
_ENDPOINT = "AWS_ENDPOINT_URL, or the endpoint in the credentials of block `lake`"

_HINTS = {
    "NoSuchBucket": "Create the bucket, or correct {named_by}",
    "InvalidBucketName": "Correct {named_by}",
    "InvalidAccessKeyId": f"Correct {_KEYS}",
    "SignatureDoesNotMatch": f"Correct the secret key: {_KEYS}",
    "ExpiredToken": f"Renew the temporary credentials: AWS_SESSION_TOKEN with {_KEYS}",
    "ExpiredTokenException": f"Renew the temporary credentials: AWS_SESSION_TOKEN with {_KEYS}",
    "InvalidToken": f"Correct AWS_SESSION_TOKEN, or unset it for a permanent key ({_KEYS})",
    "AccessDenied": f"Give the key the permission for this in the bucket of {{named_by}}, or set another key: {_KEYS}",
    "AllAccessDisabled": f"Give the key the permission to use the bucket, or set another key: {_KEYS}",
    "PermanentRedirect": f"The bucket is in another region or at another endpoint: correct {_REGION}; or {_ENDPOINT}",
    "AuthorizationHeaderMalformed": f"The region is wrong: correct {_REGION}",
    "IllegalLocationConstraintException": f"The region is wrong: correct {_REGION}",
    "RequestTimeTooSkewed": "Set the clock of this machine",
}
_OF_STATUS = {301: "PermanentRedirect", 401: "InvalidAccessKeyId", 403: "AccessDenied"}
"""The error code for an HTTP status. The response to a HEAD request has no error code."""


def hint_of_answer(code: str, status: int, named_by: str = LAKE_BUCKET) -> str:
    """Return the next step after S3 refused a request. Empty if S3's own message is sufficient.

    Args:
        code: The error code of S3.
        status: The HTTP status.
        named_by: The setting that names the bucket.
    """
    hint = _HINTS.get(code) or _HINTS.get(_OF_STATUS.get(status, ""), "")
    return f". {hint.format(named_by=named_by)}" if hint else ""


def hint_of_client(error: Exception) -> str:
    """Return the next step for a request that did not reach S3. Empty if the error is unknown."""
    from botocore import exceptions  # noqa: PLC0415 - slow to import, and seldom needed

    match error:
        case exceptions.NoCredentialsError():
            hint = f"Set {_KEYS}, or give this machine a role"
        case exceptions.PartialCredentialsError():
            hint = f"Set both: {_KEYS}"
        case exceptions.CredentialRetrievalError() | exceptions.ProfileNotFound():
            hint = f"Correct the profile or the role of this machine (AWS_PROFILE), or set {_KEYS}"
        case exceptions.NoRegionError() | exceptions.InvalidRegionError() | exceptions.UnknownRegionError():
            hint = f"Set {_REGION}"
        case exceptions.SSLError():
            hint = f"Correct {_ENDPOINT}, or set AWS_CA_BUNDLE to the authority of the server's certificate"
        case exceptions.ConnectionClosedError():
            hint = f"Check the scheme, http:// or https://, of the endpoint: {_ENDPOINT}"
        case exceptions.ProxyConnectionError():
            hint = "Correct HTTPS_PROXY or HTTP_PROXY"
        case exceptions.EndpointConnectionError() | exceptions.ConnectionError():
            hint = f"Check that the server is running and reachable. Its address is set by {_ENDPOINT}"
        case _:
            hint = ""
    return f". {hint}" if hint else ""


def is_distrusted(error: Exception) -> bool:
    """Return whether TLS failed permanently: the certificate is not trusted, or the server does not use TLS."""
    from botocore.exceptions import SSLError  # noqa: PLC0415 - slow to import, and seldom needed

    text = str(error).lower()
    return isinstance(error, SSLError) and ("certificate" in text or "wrong_version_number" in text)
