"""Postgres and S3 for the demo, `make up` and the tests: from wheels, or those that the environment names."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from deployments.child_process import ServiceError
from deployments.postgres_server import Postgres
from deployments.s3_service import REGION, AccessKey, S3Server, client, create_bucket

__all__ = ["AccessKey", "Postgres", "S3Server", "ServiceError", "Services", "given", "running", "state_folder"]

STACK_VARIABLE = "TALLY_STACK"
"""Set, by the file to source of `deployments.stack`, to the state folder that the other variables are from."""


def state_folder() -> Path:
    """Where everything local keeps its state: `TALLY_HOME`, else `.tally` in the project."""
    return Path(os.environ.get("TALLY_HOME") or Path(__file__).resolve().parents[1] / ".tally")


@dataclass(frozen=True)
class Services:
    """What to connect to.

    Attributes:
        environment: For the flows: `WAREHOUSE_DSN`, `LAKE_BUCKET`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
            `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_DEFAULT_REGION`.
        administration: The same names with the rights to make databases, roles, buckets and secrets; the flows' own
            where the services are given.
        postgres: Our server; None where `WAREHOUSE_DSN` is given.
        s3: Our server; None where `AWS_ENDPOINT_URL` is given.
    """

    environment: dict[str, str] = field(repr=False)
    administration: dict[str, str] = field(repr=False)
    postgres: Postgres | None
    s3: S3Server | None


@contextlib.contextmanager
def running(
    folder: Path, *, bucket: str = "lake", log_folder: Path | None = None, is_durable: bool = True
) -> Iterator[Services]:
    """Run Postgres and S3 with their data under `folder` for the length of the block, and at most that of this process.

    A `WAREHOUSE_DSN` or an `AWS_ENDPOINT_URL` in the environment is used instead of a server of our own.

    Args:
        folder: Made if need be; a later run on it finds its data. One process at a time.
        bucket: Made if need be; `LAKE_BUCKET`, where an S3 server is given with it, wins.
        log_folder: Where the logs go, if not to the services' own folders; it exists.
        is_durable: See `Postgres`.

    Raises:
        ServiceError: A service cannot be had; the message says why and what to do.
    """
    with contextlib.ExitStack() as stack:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)  # an unprivileged Postgres passes through
        with ThreadPoolExecutor() as starters:
            postgres = starters.submit(_postgres, folder / "postgres", log_folder, is_durable, stack)
            s3 = starters.submit(_s3, folder / "s3", log_folder, bucket, stack)
        warehouse, warehouse_administration, server = postgres.result()
        lake, lake_administration, s3_server = s3.result()
        yield Services(warehouse | lake, warehouse_administration | lake_administration, server, s3_server)


def given(name: str) -> str | None:
    """The value of `WAREHOUSE_DSN` or `AWS_ENDPOINT_URL`, unless it is that of a stack whose environment was sourced.

    Such a shell still names the services of a stack that is down, and tests have no business in one that is up.
    """
    return None if STACK_VARIABLE in os.environ else os.environ.get(name)


def _postgres(
    folder: Path, log_folder: Path | None, is_durable: bool, stack: contextlib.ExitStack
) -> tuple[dict[str, str], dict[str, str], Postgres | None]:
    if dsn := given("WAREHOUSE_DSN"):
        return {"WAREHOUSE_DSN": dsn}, {"WAREHOUSE_DSN": dsn}, None
    server = Postgres(folder, log=log_folder and log_folder / "postgres.log", is_durable=is_durable)
    server.start()
    stack.callback(server.stop)
    return {"WAREHOUSE_DSN": server.dsn}, {"WAREHOUSE_DSN": server.administrator_dsn}, server


def _s3(
    folder: Path, log_folder: Path | None, bucket: str, stack: contextlib.ExitStack
) -> tuple[dict[str, str], dict[str, str], S3Server | None]:
    if endpoint := given("AWS_ENDPOINT_URL"):
        bucket = os.environ.get("LAKE_BUCKET", bucket)
        theirs = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        environment = theirs | {"LAKE_BUCKET": bucket}
        region = theirs.get("AWS_REGION") or theirs.get("AWS_DEFAULT_REGION") or REGION
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
