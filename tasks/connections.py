"""What a step works with: settings read from the environment or from Prefect blocks, and what they open."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment, flow_run

from tasks.engine.errors import SettingsError
from tasks.engine.lake import Lake
from tasks.engine.settings import RunSettings, read_lake, read_run, read_warehouse
from tasks.engine.warehouse import Connection, connect


def run_settings() -> RunSettings:
    """Settings of this run.

    Raises:
        SettingsError: A value cannot be used.
    """
    return read_run(os.environ)


def open_warehouse() -> AbstractContextManager[Connection]:
    """A connection to the warehouse, named after the flow run.

    Raises:
        SettingsError: Neither `WAREHOUSE_DSN` nor block `warehouse` is there.
    """
    return connect(read_warehouse(os.environ, _warehouse_block), f"tally {flow_run.name or 'ad hoc'}")


def open_lake(bucket: str | None = None) -> Lake:
    """The bucket of the lake, or another one at the same place with the same credentials.

    Raises:
        SettingsError: Neither `LAKE_BUCKET` nor block `lake` is there.
    """
    environ = {**os.environ, "LAKE_BUCKET": bucket} if bucket else os.environ
    return Lake(read_lake(environ, _lake_block))


def warehouse_slot() -> AbstractContextManager[None]:
    """One of the slots that protect the warehouse from too many writers at once.

    The global concurrency limit `warehouse` is made by `make deploy`: runs of a deployment insist on it, others have
    none.
    """
    return concurrency("warehouse", strict=True) if deployment.id else nullcontext()


def flow_run_id() -> str | None:
    """Id of the flow run for the ledger; None outside of one."""
    return str(flow_run.id) if flow_run.id else None


def _warehouse_block() -> Mapping[str, Any]:
    from prefect_sqlalchemy import SqlAlchemyConnector  # noqa: PLC0415 - slow to import, and seldom needed

    block = _load(SqlAlchemyConnector, "warehouse", "WAREHOUSE_DSN")
    url = block.connection_info
    url = url.create_url() if hasattr(url, "create_url") else url
    return {"dsn": url.set(drivername="postgresql").render_as_string(hide_password=False)}


def _lake_block() -> Mapping[str, Any]:
    from prefect_aws import S3Bucket  # noqa: PLC0415 - slow to import, and seldom needed

    block = _load(S3Bucket, "lake", "LAKE_BUCKET")
    credentials = block.credentials
    return {
        "bucket": block.bucket_name,
        "endpoint_url": credentials.aws_client_parameters.endpoint_url,
        "access_key_id": credentials.aws_access_key_id,
        "secret_access_key": credentials.aws_secret_access_key,
        "session_token": credentials.aws_session_token,
        "region": credentials.region_name,
    }


def _load(block: Any, name: str, variable: str) -> Any:
    try:
        return block.load(name)
    except ValueError as error:
        raise SettingsError(
            f"neither environment variable {variable} nor Prefect block {block.__name__} `{name}` is there;"
            " set the one, or create the other with `make deploy`"
        ) from error
