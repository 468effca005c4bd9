"""Read the settings of a step from the environment or from Prefect blocks, and open its connections."""

import logging
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.runtime import deployment, flow_run

from tasks.blocks import lake_block, load_block, warehouse_block
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts, sources
from tasks.contracts.settings import Setting
from tasks.contracts.source import Source
from tasks.contracts.source_table import SourceTable
from tasks.engine.errors import SettingsError, errors_at, is_transient, s3_code_of
from tasks.engine.lake.client import Lake
from tasks.engine.lake.s3_clients import S3Clients
from tasks.engine.settings import (
    Block,
    LakeSettings,
    RunSettings,
    SourceSettings,
    WarehouseSettings,
    read_lake,
    read_run,
    read_setting,
    read_source,
    read_warehouse,
)
from tasks.engine.sync.source import Snapshot, open_snapshot
from tasks.engine.warehouse.session_pool import SessionPool
from tasks.engine.warehouse.tables import Connection, connect


class _Shared:
    """What the steps of a run share.

    Attributes:
        sessions: Idle sessions of the warehouse.
        clients: Clients of S3.
        blocks: Values of the blocks that were read, by name.
        done: Work of earlier steps of the run, which later steps need not repeat.
    """

    def __init__(self) -> None:
        self.sessions, self.clients = SessionPool(), S3Clients()
        self.blocks: dict[str, Mapping[str, Any]] = {}
        self.done: set[Hashable] = set()


_shared: ContextVar[_Shared | None] = ContextVar("shared connections", default=None)


@contextmanager
def shared_connections() -> Iterator[None]:
    """Let the steps of the block share sessions, S3 clients and the values of blocks, until the block ends."""
    if _shared.get():
        yield
        return
    shared = _Shared()
    token = _shared.set(shared)
    try:
        yield
    finally:
        _shared.reset(token)
        shared.sessions.close()
        shared.clients.clear()


def forget_connections() -> None:
    """Close idle sessions, and forget clients, blocks and finished work: the next step connects again.

    A failed step calls this function, and so does a run that waits for other runs.
    """
    if shared := _shared.get():
        shared.sessions.close_idle()
        shared.clients.clear()
        shared.blocks.clear()
        shared.done.clear()


def done_in_run() -> set[Hashable]:
    """Return the work of earlier steps of this run, which later steps need not repeat. A failed step empties it."""
    return shared.done if (shared := _shared.get()) else set()


def run_settings() -> RunSettings:
    """Settings of this run.

    Raises:
        SettingsError: A value cannot be used.
    """
    return read_run(os.environ)


def value_of(setting: Setting) -> str:
    """Read a pipeline's setting of this run.

    Raises:
        SettingsError: The value is invalid.
    """
    return read_setting(setting, os.environ)


def open_warehouse() -> AbstractContextManager[Connection]:
    """A connection to the warehouse, named after the flow run. Steps of a run use the same sessions again.

    Raises:
        SettingsError: Neither `WAREHOUSE_DSN` nor block `warehouse` exists.
    """
    shared, name = _shared.get(), f"tally {flow_run.name or 'ad hoc'}"
    return (shared.sessions.connect if shared else connect)(warehouse_settings(), name)


def warehouse_settings() -> WarehouseSettings:
    """Connection settings of the warehouse.

    Raises:
        SettingsError: Neither `WAREHOUSE_DSN` nor block `warehouse` exists.
    """
    return read_warehouse(os.environ, partial(_once, "warehouse", warehouse_block))


def open_lake(bucket: str | None = None) -> Lake:
    """Open the bucket of the lake, or another bucket of the same service with the same credentials.

    If no lake is configured, the AWS variables are enough to open another bucket.

    Raises:
        SettingsError: Neither `LAKE_BUCKET` nor block `lake` exists.
    """
    shared = _shared.get()
    return Lake(lake_settings(bucket), shared.clients if shared else None)


def bucket_of(contract: Contract) -> str | None:
    """Name of the bucket with the objects of a dataset; None for the bucket of the lake.

    Raises:
        SettingsError: The value of the variable is invalid.
    """
    return value_of(contract.bucket_setting) or None if contract.bucket_setting else None


def dataset_buckets() -> dict[str, str]:
    """Buckets with objects of datasets besides the bucket of the lake, by the variable that names them."""
    settings = [contract.bucket_setting for contract in contracts().values() if contract.bucket_setting]
    return {setting.variable: bucket for setting in settings if (bucket := value_of(setting))}


def open_source(source: Source, tables: Sequence[SourceTable] | None = None) -> AbstractContextManager[Snapshot]:
    """Open one snapshot of an operational database.

    Args:
        source: The database.
        tables: The tables of the snapshot. The default is all tables of the source.

    Raises:
        SettingsError: Neither a variable nor a block contains the login, or the secret does not exist.
        TallyError: As `open_snapshot`.
    """
    return open_snapshot(
        source_settings(source), source.tables if tables is None else tables, f"tally {flow_run.name or 'ad hoc'}"
    )


def source_settings(source: Source) -> SourceSettings:
    """Connection settings of an operational database.

    Raises:
        SettingsError: Neither a variable nor a block contains the login, or the secret does not exist.
    """
    return read_source(source, os.environ, partial(_read_secret, source))


def warehouse_slot() -> AbstractContextManager[None]:
    """One of the slots that protect the warehouse from too many writers at once.

    `make deploy` creates the global concurrency limit `warehouse`. A run of a deployment needs the limit; other runs
    do not use it.
    """
    return concurrency("warehouse", strict=True) if _is_deployed() else nullcontext()


def _is_deployed() -> bool:
    """Whether this run, or the run that started it in the same process, is the run of a deployment."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run and not run.parent_task_run_id:
        return run.deployment_id is not None
    return deployment.id is not None  # this may ask the server


def flow_run_id() -> str | None:
    """Id of the flow run for the ledger; None outside of a flow run."""
    return str(flow_run.id) if flow_run.id else None


def block_settings() -> Mapping[str, Block]:
    """Readers of the blocks, by name."""
    return {"warehouse": warehouse_block, "lake": lake_block}


def _once(name: str, read: Block) -> Mapping[str, Any]:
    """Read a block once for all steps of a run."""
    blocks = shared.blocks if (shared := _shared.get()) else {}
    if name not in blocks:
        blocks[name] = read()
    return blocks[name]


def lake_settings(bucket: str | None = None) -> LakeSettings:
    """Connection settings of the lake, or of another bucket of the same service.

    Raises:
        SettingsError: Neither `LAKE_BUCKET` nor block `lake` exists.
    """
    try:
        settings = read_lake(os.environ, partial(_once, "lake", lake_block))
    except SettingsError:
        if not bucket:
            raise
        return read_lake({**os.environ, "LAKE_BUCKET": bucket}, lake_block)
    if not bucket or bucket == settings.bucket:
        return settings
    return settings.model_copy(update={"bucket": bucket, "named_by": _setting_of(bucket)})


def _setting_of(bucket: str) -> str:
    """Return the setting that names a bucket other than the lake's, for errors."""
    settings = [setting for source in sources().values() for setting in (source.csv_bucket, source.parquet_bucket)]
    settings += [contract.bucket_setting for contract in contracts().values() if contract.bucket_setting]
    return next((setting.variable for setting in settings if value_of(setting) == bucket), "the object's address")


def _read_secret(source: Source, name: str | None) -> str | bytes:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow to import

    # At DEBUG, this logger writes each response, including the response with the secret.
    logging.getLogger("botocore.parsers").setLevel(logging.INFO)
    name, read = _block_secret(source) if name is None else _named_secret(name)
    with errors_at(f"secret {name} in Secrets Manager"):
        try:
            return read()
        except ClientError as error:
            if is_transient(error):
                raise
            raise SettingsError(
                f"Secrets Manager [{s3_code_of(error)[0]}] {error.response['Error'].get('Message', '')}: expected to"
                f" read secret {name}, JSON with user, password, host, port and database. Create it, allow"
                f" secretsmanager:GetSecretValue, correct {source.secret_variable}, or set {source.dsn_variable}"
            ) from error


def _block_secret(source: Source) -> tuple[str, Callable[[], str | bytes]]:
    """Return the name of the secret of a block, and the function that reads it."""
    from prefect_aws import AwsSecret  # noqa: PLC0415 - takes half a second, and only this block needs it

    block = load_block(AwsSecret, source.name, f"{source.secret_variable} or {source.dsn_variable}")
    return block.secret_name, block.read_secret


def _named_secret(name: str) -> tuple[str, Callable[[], str | bytes]]:
    """Return the name of a secret, and the function that reads it with the login of the lake."""
    from tasks.engine.lake.secrets_manager import read_secret  # noqa: PLC0415 - slow to import

    settings = lake_settings(name)  # only for the login of the lake: nothing uses its bucket
    endpoint = os.environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint and not os.environ.get("AWS_ENDPOINT_URL_S3"):
        endpoint = settings.endpoint_url  # the address in the block serves S3 and Secrets Manager
    return name, partial(read_secret, settings, endpoint, name)
