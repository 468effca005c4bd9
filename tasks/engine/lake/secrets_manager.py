"""Read a secret from AWS Secrets Manager."""

from typing import Any

from tasks.engine.lake.aws_sessions import login_of, new_session
from tasks.engine.settings import LakeSettings


def read_secret(settings: LakeSettings, endpoint_url: str | None, name: str) -> str | bytes:
    """Read a secret with the login of the lake.

    Args:
        settings: The settings with the login.
        endpoint_url: The address of the service; None for the service of AWS.
        name: The name of the secret.

    Raises:
        ClientError: The secret does not exist, or the login may not read it.
    """
    client: Any = new_session().create_client("secretsmanager", endpoint_url=endpoint_url, **login_of(settings))
    try:
        answer = client.get_secret_value(SecretId=name)
    finally:
        client.close()
    found: str | bytes = answer["SecretString"] if "SecretString" in answer else answer["SecretBinary"]
    return found
