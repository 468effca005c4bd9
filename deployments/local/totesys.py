"""The sample Totesys database of the demo and of `make up`, with its login secret and its two S3 buckets.

`python -m deployments.local.totesys --changes 100` makes 100 random changes: orders, payments, corrections and
deletions.

The role `totesys` owns the database. The flows log in as `totesys_reader`, which can only read the tables. Each start
sets new passwords for both roles: the secret contains the reader's, and a file next to the services' data contains the
owner's.
"""

import argparse
import json
import random
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.local.embedded import Services, state_folder
from deployments.local.postgres_server import write_private
from deployments.local.s3_service import AccessKey, client, create_bucket
from deployments.samples.totesys import DEFAULT_SEED, create_source, fill_source
from deployments.samples.totesys_changes import change_source
from tasks.engine.lake.setup import marker_key

OWNER, READER, DATABASE, SECRET = "totesys", "totesys_reader", "totesys", "totesys"
SALES_ORDERS = 2000
_LOGIN = "totesys.json"
STORES = {"csv": "totesys-csv", "parquet": "totesys-parquet"}


def provide(services: Services, folder: Path) -> dict[str, str]:
    """Create the database, the roles, the secret, the buckets and the sample rows that do not exist yet.

    Args:
        services: The running services. The function creates nothing in external services.
        folder: The folder where `owner_dsn` finds the owner's login.

    Returns:
        The variables for the flows; empty for external services.
    """
    if services.postgres is None or services.s3 is None:
        (folder / _LOGIN).unlink(missing_ok=True)
        return {}
    passwords = {role: secrets.token_urlsafe(24) for role in (OWNER, READER)}
    administrator = services.administration["WAREHOUSE_DSN"]
    _provide_database(administrator, passwords)
    owner = make_conninfo(administrator, user=OWNER, password=passwords[OWNER], dbname=DATABASE)
    _create_sample(owner)
    write_private(folder / _LOGIN, json.dumps({"owner_dsn": owner}))
    parts = conninfo_to_dict(administrator)
    login = {"user": READER, "password": passwords[READER], "host": parts["host"], "port": parts["port"]}
    _provide_secret_and_stores(services, json.dumps(login | {"database": DATABASE}))
    return {"TOTESYS_SECRET": SECRET, "TOTESYS_CSV_BUCKET": STORES["csv"], "TOTESYS_PARQUET_BUCKET": STORES["parquet"]}


def owner_dsn(folder: Path) -> str | None:
    """Return the DSN of the owner of the database that `provide` created last, or None if it created none."""
    file = folder / _LOGIN
    return str(json.loads(file.read_text())["owner_dsn"]) if file.exists() else None


def _provide_database(administrator: str, passwords: dict[str, str]) -> None:
    with psycopg.connect(administrator, autocommit=True) as connection:
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role, password in passwords.items():
            statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                sql.SQL("ALTER" if role in roles else "CREATE"), sql.Identifier(role), sql.Literal(password)
            )
            connection.execute(statement)
        names = {"database": sql.Identifier(DATABASE), "owner": sql.Identifier(OWNER), "reader": sql.Identifier(READER)}
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {database} TO {reader}").format(**names))


def _create_sample(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_tables WHERE tablename = 'sales_order'").fetchone():
            return
        opened_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=SALES_ORDERS)
        with connection.transaction():  # a killed start leaves no partial sample
            create_source(connection, reader=READER)
            fill_source(connection, sales_orders=SALES_ORDERS, opened_at=opened_at)


def _provide_secret_and_stores(services: Services, login: str) -> None:
    variables = services.administration
    key = AccessKey(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    manager = client("secretsmanager", variables["AWS_ENDPOINT_URL"], key)
    try:
        manager.put_secret_value(SecretId=SECRET, SecretString=login)
    except manager.exceptions.ResourceNotFoundException:
        manager.create_secret(Name=SECRET, SecretString=login)
    s3 = client("s3", variables["AWS_ENDPOINT_URL"], key)
    for kind, bucket in STORES.items():
        create_bucket(s3, bucket)
        s3.put_object(Bucket=bucket, Key=marker_key(kind))


def main(arguments: Sequence[str] | None = None) -> int:
    """Change the sample database; return 1 if `make up` has not created one."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.local.totesys",
        description="Make random changes in the sample Totesys database of `make up`.",
    )
    parser.add_argument(
        "--changes", type=int, default=100, help="number of changes (default 100); a change may affect several rows"
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help=f"seed of the random changes (default {DEFAULT_SEED})"
    )
    options = parser.parse_args(arguments)
    if (dsn := owner_dsn(state_folder() / "services")) is None:
        print("expected the Totesys database of `make up`, found none: run `make up` first", file=sys.stderr)
        return 1
    rng = random.Random(options.seed)  # noqa: S311 - reproducible, not secret
    with psycopg.connect(dsn, autocommit=True) as connection:
        counts = change_source(connection, rng, options.changes, at=datetime.now(UTC).replace(tzinfo=None))
    print("\n".join(f"{count:6,} {name}" for name, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
