"""Read the settings of the warehouse and of the lake from Prefect blocks."""

import os
from collections.abc import Mapping
from typing import Any

from tasks.engine.errors import SettingsError


def warehouse_block() -> Mapping[str, Any]:
    """Read the block `warehouse`.

    Raises:
        SettingsError: The block does not exist.
    """
    from prefect_sqlalchemy import SqlAlchemyConnector  # noqa: PLC0415 - slow to import, and seldom needed

    block = load_block(SqlAlchemyConnector, "warehouse", "WAREHOUSE_DSN")
    url = block.connection_info
    url = url.create_url() if hasattr(url, "create_url") else url
    return {"dsn": url.set(drivername="postgresql").render_as_string(hide_password=False)}


def lake_block() -> Mapping[str, Any]:
    """Read the block `lake`.

    Raises:
        SettingsError: The block does not exist.
    """
    from prefect_aws import S3Bucket  # noqa: PLC0415 - slow to import, and seldom needed

    block = load_block(S3Bucket, "lake", "LAKE_BUCKET")
    credentials = block.credentials
    return {
        "bucket": block.bucket_name,
        "endpoint_url": credentials.aws_client_parameters.endpoint_url,
        "access_key_id": credentials.aws_access_key_id,
        "secret_access_key": credentials.aws_secret_access_key,
        "session_token": credentials.aws_session_token,
        "region": credentials.region_name,
        "ca_bundle": credentials.aws_client_parameters.verify_cert_path or os.environ.get("AWS_CA_BUNDLE") or None,
    }


def load_block(block: Any, name: str, variable: str) -> Any:
    """Load a block.

    Args:
        block: Class of the block.
        name: Its name.
        variable: Variable that serves in place of the block, for the error.

    Raises:
        SettingsError: The block does not exist.
    """
    try:
        return block.load(name)
    except ValueError as error:
        raise SettingsError(
            f"neither environment variable {variable} nor Prefect block {block.__name__} `{name}` exists;"
            " set the variable, or create the block with `make deploy`"
        ) from error
