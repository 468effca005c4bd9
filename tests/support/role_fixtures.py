"""The roles of `deployments/grants.py`, and runs and queries in their names."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from sample_dataset import client, lake

from deployments import grants
from deployments.local import embedded
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

if TYPE_CHECKING:
    from prefect import Flow

LOADER, ANALYST = "tally_loader", "tally_analyst"
ROLES = (LOADER, ANALYST)
PASSWORD = secrets.token_hex(16)


@pytest.fixture
def roles_administrator(services: embedded.Services, database: str) -> Iterator[psycopg.Connection]:
    """An administrator in the test's database. The roles and their logins are dropped after the test."""
    dsn = services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    parts = conninfo_to_dict(database)
    owner = sql.Identifier(str(parts["user"]))
    with psycopg.connect(make_conninfo(dsn, dbname=str(parts["dbname"])), autocommit=True) as administrator:
        yield administrator
        for role in map(sql.Identifier, (*(f"{role}_login" for role in ROLES), *ROLES)):
            if administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.as_string()[1:-1]]).fetchone():
                administrator.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(role, owner))
                administrator.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


@pytest.fixture
def granted(roles_administrator: psycopg.Connection, database: str) -> None:
    """The roles with their grants, and a login for each."""
    owner = sql.Identifier(str(conninfo_to_dict(database)["user"]))
    for role in map(sql.Identifier, ROLES):
        roles_administrator.execute(sql.SQL("CREATE ROLE {}").format(role))
    roles_administrator.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(LOADER), owner))
    for role in ROLES:
        roles_administrator.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(f"{role}_login"), sql.Literal(PASSWORD), sql.Identifier(role)
            )
        )
    for _ in range(2):
        assert grants.main(["--apply"]) == 0


@pytest.fixture
def as_loader(granted: None, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flows log in as the loader."""
    del granted
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, user=f"{LOADER}_login", password=PASSWORD))


def run(flow: "Flow[Any, Any]", **parameters: Any) -> Any:
    """Run a flow's tasks one after the other, without a Prefect server, and without the tasks that publish reports."""
    from prefect.logging import disable_run_logger  # Prefect is slow to import, and every pytest imports this module

    from tasks.policy import Step

    def call(task: Step[Any, Any], *arguments: Any, **named: Any) -> Any:
        is_shown = task.name.startswith("report_") and task.name != "report_finished"
        return [] if is_shown else task.fn(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, disable_run_logger():
        patch.setattr(Step, "__call__", call)
        return flow.fn(**parameters)


def put(key: str, content: bytes) -> None:
    client().put_object(Bucket=lake().bucket, Key=key, Body=content)


@contextmanager
def as_role(database: str, role: str) -> Iterator[Connection]:
    dsn = make_conninfo(database, user=f"{role}_login", password=PASSWORD)
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "grants") as opened:
        yield opened


def denied(opened: Connection, statement: str) -> bool:
    try:
        opened.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState):  # of views
        return True
    return False
