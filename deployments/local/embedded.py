"""Postgres and S3 for the demo, `make up` and the tests: local servers, or external ones that the environment names."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from deployments.local.child_process import ServiceError
from deployments.local.postgres_server import Postgres
from deployments.local.s3_service import REGION, AccessKey, S3Server, client, create_bucket

__all__ = ["AccessKey", "Postgres", "S3Server", "ServiceError", "Services", "external", "running", "state_folder"]

STACK_VARIABLE = "TALLY_STACK"
"""The state folder of the stack that set the other variables. The stack's `env` file exports it."""


def state_folder() -> Path:
    """Return the folder for the data of all local services: `TALLY_HOME`, else `.tally` in the project."""
    return Path(os.environ.get("TALLY_HOME") or Path(__file__).resolve().parents[2] / ".tally")


@dataclass(frozen=True)
class Services:
    """The running services and the variables that connect to them.

    Attributes:
        environment: The variables for the flows: `WAREHOUSE_DSN`, `LAKE_BUCKET`, `AWS_ENDPOINT_URL`,
            `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_DEFAULT_REGION`.
        administration: The same variables for a user who may create databases, roles, buckets and secrets. For
            external services they equal `environment`.
        postgres: The local server; None if `WAREHOUSE_DSN` names an external one.
        s3: The local server; None if `AWS_ENDPOINT_URL` names an external one.
    """

    environment: dict[str, str] = field(repr=False)
    administration: dict[str, str] = field(repr=False)
    postgres: Postgres | None
    s3: S3Server | None


@contextlib.contextmanager
def running(
    folder: Path, *, bucket: str = "lake", log_folder: Path | None = None, is_durable: bool = True
) -> Iterator[Services]:
    """Run Postgres and S3 until the block or this process ends.

    If `WAREHOUSE_DSN` or `AWS_ENDPOINT_URL` is set in the environment, that external service replaces the local server.

    Args:
        folder: The folder for the data of both services. It is created if it is missing, and keeps the data for later
            runs. Only one process at a time can use it.
        bucket: The bucket to create. For an external S3 service, `LAKE_BUCKET` takes precedence.
        log_folder: An existing folder for the logs; by default each service logs to its own folder.
        is_durable: See `Postgres`.

    Raises:
        ServiceError: A service did not start. The message contains the reason and the remedy.
    """
    with contextlib.ExitStack() as stack:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)  # the unprivileged account of Postgres can enter the folder
        with ThreadPoolExecutor() as starters:
            postgres = starters.submit(_postgres, folder / "postgres", log_folder, is_durable, stack)
            s3 = starters.submit(_s3, folder / "s3", log_folder, bucket, stack)
        warehouse, warehouse_administration, server = postgres.result()
        lake, lake_administration, s3_server = s3.result()
        yield Services(warehouse | lake, warehouse_administration | lake_administration, server, s3_server)


def external(name: str) -> str | None:
    """Return `WAREHOUSE_DSN` or `AWS_ENDPOINT_URL` if it names an external service, else None.

    A shell that sourced the `env` file of `make up` has both variables, but they name the services of the stack. The
    stack may be down, and tests must not write to a stack that is up. The function therefore ignores them.
    """
    return None if STACK_VARIABLE in os.environ else os.environ.get(name)


def _postgres(
    folder: Path, log_folder: Path | None, is_durable: bool, stack: contextlib.ExitStack
) -> tuple[dict[str, str], dict[str, str], Postgres | None]:
    if dsn := external("WAREHOUSE_DSN"):
        return {"WAREHOUSE_DSN": dsn}, {"WAREHOUSE_DSN": dsn}, None
    server = Postgres(folder, log=log_folder and log_folder / "postgres.log", is_durable=is_durable)
    server.start()
    stack.callback(server.stop)
    return {"WAREHOUSE_DSN": server.dsn}, {"WAREHOUSE_DSN": server.administrator_dsn}, server


def _s3(
    folder: Path, log_folder: Path | None, bucket: str, stack: contextlib.ExitStack
) -> tuple[dict[str, str], dict[str, str], S3Server | None]:
    if endpoint := external("AWS_ENDPOINT_URL"):
        bucket = os.environ.get("LAKE_BUCKET", bucket)
        variables = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        environment = variables | {"LAKE_BUCKET": bucket}
        region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or REGION
        create_bucket(boto3.Session().client("s3", endpoint_url=endpoint, region_name=region), bucket)
        environment |= _region(region)
        return environment, environment, None
    server = S3Server(folder, log=log_folder and log_folder / "s3.log")
    server.start()
    stack.callback(server.stop)
    create_bucket(client("s3", server.endpoint_url, server.administrator_key), bucket)
    shared = {"LAKE_BUCKET": bucket, "AWS_ENDPOINT_URL": server.endpoint_url} | _region(REGION)
    return shared | _key(server.key), shared | _key(server.administrator_key), server


def _region(region: str) -> dict[str, str]:
    return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}


def _key(key: AccessKey) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": key.key_id, "AWS_SECRET_ACCESS_KEY": key.secret}
