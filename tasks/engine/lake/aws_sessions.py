"""What all clients of AWS share: the loaded models, and the login of the settings."""

from typing import TYPE_CHECKING, Any

from tasks.engine.lake.s3_models import s3_models
from tasks.engine.settings import LakeSettings

if TYPE_CHECKING:
    from botocore.session import Session


def new_session() -> "Session":
    """Create a session of botocore whose clients share the models that the process has loaded."""
    models = s3_models()
    import botocore.session  # noqa: PLC0415 - slow to import; s3_models imports it faster

    session = botocore.session.Session()
    session.register_component("data_loader", models)
    return session


def login_of(settings: LakeSettings) -> dict[str, Any]:
    """Return the login of the settings as keyword arguments of a botocore client."""
    secret, token = settings.secret_access_key, settings.session_token
    return {
        "region_name": settings.region,
        "aws_access_key_id": settings.access_key_id,
        "aws_secret_access_key": secret.get_secret_value() if secret else None,
        "aws_session_token": token.get_secret_value() if token else None,
        "verify": str(settings.ca_bundle) if settings.ca_bundle else None,  # None: the authorities of the system
    }
