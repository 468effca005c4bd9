"""The Prefect blocks that contain the addresses and credentials of the warehouse, the lake and each source."""

from collections.abc import Mapping

from prefect_aws import AwsCredentials, AwsSecret, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from tasks.contracts import catalog
from tasks.contracts.source import Source


def save_blocks(environ: Mapping[str, str]) -> list[str]:
    """Save the blocks whose variables are set in `environ`, and return one line for each block.

    A block whose variables are not set stays unchanged.
    """
    return [
        _save_warehouse(environ),
        _save_lake(environ),
        *(_save_source(source, environ) for source in catalog.sources().values()),
    ]


def _save_warehouse(environ: Mapping[str, str]) -> str:
    if not environ.get("WAREHOUSE_DSN"):
        return "block warehouse: unchanged, because WAREHOUSE_DSN is not set"
    parts = {key: str(value) for key, value in conninfo_to_dict(environ["WAREHOUSE_DSN"]).items() if value is not None}
    password, port, host = parts.pop("password", None), parts.pop("port", None), parts.pop("host", None)
    # A URL cannot contain the folder of a socket as its host. SQLAlchemy and libpq accept it as a parameter.
    if host and host.startswith("/"):
        parts["host"], host = host, None
    connection = ConnectionComponents(
        # A string, because the block's list of drivers does not include psycopg 3.
        driver="postgresql+psycopg",
        username=parts.pop("user", None),
        password=SecretStr(password) if password else None,
        host=host,
        port=int(port) if port else None,
        database=parts.pop("dbname", None),
        query=parts or None,
    )
    SqlAlchemyConnector(connection_info=connection).save("warehouse", overwrite=True)
    return f"block warehouse: saved (database {connection.database} at {connection.host or 'a local socket'})"


def _save_lake(environ: Mapping[str, str]) -> str:
    bucket = environ.get("LAKE_BUCKET")
    if not bucket:
        return "block lake: unchanged, because LAKE_BUCKET is not set"
    S3Bucket(bucket_name=bucket, credentials=_credentials(environ, "AWS_ENDPOINT_URL_S3")).save("lake", overwrite=True)
    return f"block lake: saved (bucket {bucket})"


def _save_source(source: Source, environ: Mapping[str, str]) -> str:
    name = environ.get(source.secret_variable)
    if not name:
        return f"block {source.name}: unchanged, because {source.secret_variable} is not set"
    credentials = _credentials(environ, "AWS_ENDPOINT_URL_SECRETS_MANAGER")
    AwsSecret(aws_credentials=credentials, secret_name=name).save(source.name, overwrite=True)
    return f"block {source.name}: saved (secret {name} in Secrets Manager)"


def _credentials(environ: Mapping[str, str], endpoint_variable: str) -> AwsCredentials:
    secret = environ.get("AWS_SECRET_ACCESS_KEY")
    return AwsCredentials(
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=SecretStr(secret) if secret else None,
        aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        region_name=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"),
        aws_client_parameters=AwsClientParameters(
            endpoint_url=environ.get(endpoint_variable) or environ.get("AWS_ENDPOINT_URL")
        ),
    )
