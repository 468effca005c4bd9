"""The roles of `deployments/grants.sql`: what each may do is enough for its work, and nothing else works."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from things import connection
from totesys_oracle import SCHEMAS, Source, Warehouse, changes_of

from deployments import embedded, grants
from tasks.contracts.totesys import TOTESYS
from tasks.engine.ddl import apply_ddl
from tasks.engine.errors import WarehouseError
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse import Connection, connect

# The names of the roles are the same for all who share a server.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]

ROLES = ("totesys_loader", "totesys_analyst")
PASSWORD = secrets.token_hex(16)


@pytest.fixture
def administrator(services: embedded.Services, database: str) -> Iterator[psycopg.Connection]:
    """An administrator in the test's database; what it makes of the roles is gone afterwards."""
    dsn = services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(dsn, dbname=name), autocommit=True) as administrator:
        yield administrator
        for role in (f"{role}_login" for role in ROLES):
            administrator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        for role in ROLES:
            if administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                administrator.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


@pytest.fixture
def granted(administrator: psycopg.Connection) -> None:
    """The roles with their grants, and a login for each."""
    for role in ROLES:
        administrator.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        administrator.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(f"{role}_login"), sql.Literal(PASSWORD), sql.Identifier(role)
            )
        )
    for _ in range(2):
        assert grants.main() == 0


@contextmanager
def as_role(database: str, role: str) -> Iterator[Connection]:
    dsn = make_conninfo(database, user=f"{role}_login", password=PASSWORD)
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "grants") as opened:
        yield opened


def filled(warehouse: Warehouse) -> Source:
    source = Source(Random(1))  # noqa: S311 - repeatable, not secret
    for table in source.tables:
        for row_id in (1, 2, 3):
            source.put(table, row_id)
    warehouse.sync(changes_of(source))
    return source


def denied(opened: Connection, statement: str) -> bool:
    try:
        opened.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState):  # the latter of views
        return True
    return False


@pytest.mark.usefixtures("granted")
def test_loader_runs_and_can_neither_drop_nor_erase_history(database: str) -> None:
    with as_role(database, "totesys_loader") as opened:
        assert apply_ddl(opened, TOTESYS, SCHEMAS) == []
        warehouse = Warehouse(opened)
        source = filled(warehouse)
        second = source.delete("payment", 2)
        assert warehouse.compare("payment", {1, 3}).closed_count == 1
        source.restore("payment", second)
        source.put("sales_order", 1, staff_id=77)
        warehouse.sync(changes_of(source))
        assert warehouse.rows("SELECT count(*) FROM totesys_warehouse.fact_payment_current") == [(3,)]
        assert warehouse.rows("SELECT source_id FROM totesys_warehouse.quarantine") == [(1,)]
        for statement in (
            "DROP TABLE totesys_staging.payment",
            "DROP SCHEMA totesys_warehouse CASCADE",
            "ALTER TABLE totesys_warehouse.fact_payment DROP COLUMN deleted_at",
            "TRUNCATE totesys_warehouse.fact_payment",
            "DELETE FROM totesys_warehouse.fact_payment",
            "UPDATE totesys_warehouse.dim_date SET year = 0",
            "DELETE FROM ledger.loads",
            "UPDATE ledger.applied_files SET sha256 = ''",
            "CREATE TABLE totesys_warehouse.mine (id int)",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
        ):
            assert denied(opened, statement), statement


@pytest.mark.usefixtures("granted")
def test_analyst_reads_the_star_and_nothing_else(database: str) -> None:
    with connection() as owner:
        filled(Warehouse(owner))
        found = owner.execute(
            "SELECT format('%s.%s', relnamespace::regnamespace, relname) FROM pg_class WHERE relkind IN ('r', 'v')"
            " AND relnamespace::regnamespace::text ~ '^(totesys|ledger)'"
        )
        names = {name for (name,) in found}
        star = {name for name in names if name.startswith(("totesys_warehouse.dim_", "totesys_warehouse.fact_"))}
        others = names - star
    assert len(star) == 14
    assert {"totesys_staging.payment", "totesys_warehouse.quarantine", "ledger.rejected_rows"} <= others
    with as_role(database, "totesys_analyst") as opened:
        for name in star:
            assert opened.execute(f"SELECT count(*) > 0 FROM {name}").fetchone() == (True,)
            assert denied(opened, f"DELETE FROM {name}"), name
            assert denied(opened, f"INSERT INTO {name} DEFAULT VALUES"), name
        for name in others:
            assert denied(opened, f"SELECT * FROM {name}"), name
        assert denied(opened, "CREATE TABLE totesys_warehouse.mine (id int)")


@pytest.mark.usefixtures("granted")
def test_right_that_was_given_by_hand_is_taken_away(administrator: psycopg.Connection, database: str) -> None:
    administrator.execute("GRANT SELECT ON totesys_staging.payment TO totesys_analyst")
    administrator.execute("GRANT DELETE ON totesys_warehouse.fact_payment TO totesys_loader")
    with connection() as owner:
        grants.apply_grants(owner)  # what a superuser gives, it gives in the owner's name
    with as_role(database, "totesys_loader") as opened:
        assert denied(opened, "DELETE FROM totesys_warehouse.fact_payment")
    with as_role(database, "totesys_analyst") as opened:
        assert denied(opened, "SELECT * FROM totesys_staging.payment")


@pytest.mark.usefixtures("administrator")
def test_owner_that_may_not_create_roles_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection() as owner, pytest.raises(WarehouseError, match=r"42501.*create role.*deployments/grants.sql"):
        grants.apply_grants(owner)
    assert grants.main() == 1
    monkeypatch.delenv("WAREHOUSE_DSN")
    assert grants.main() == 1
    assert "WAREHOUSE_DSN is not set" in capsys.readouterr().err
