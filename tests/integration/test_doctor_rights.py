"""The doctor's checks of rights: exactly the granted rights are right, and each other right is named."""

from collections.abc import Callable, Iterable

import psycopg
import pytest
from doctor_findings import only
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from role_fixtures import ANALYST, LOADER, PASSWORD

from tasks.engine.doctor.outcomes import Finding
from tasks.engine.doctor.role_rights import check_analyst, check_loader, check_own_rights, known_relations
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import connect

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


def says(dsn: str, check: Callable[[Warehouse], Iterable[Finding]]) -> list[Finding]:
    settings = WarehouseSettings(dsn=SecretStr(dsn), origin="WAREHOUSE_DSN")
    with connect(settings, "tally doctor") as opened:
        return list(check(Warehouse(opened, settings)))


@pytest.mark.usefixtures("granted")
def test_missing_and_extra_rights_are_named(database: str, roles_administrator: psycopg.Connection) -> None:
    loader = make_conninfo(database, user=f"{LOADER}_login", password=PASSWORD)
    for dsn in (database, loader):
        for check in (check_own_rights, check_loader, check_analyst):
            only(says(dsn, check), "ok")
    read = next(each for each in known_relations().values() if each.is_read and not each.is_shared)
    for statement in (
        "GRANT DELETE, TRUNCATE ON ledger.loads TO tally_loader",
        "REVOKE INSERT ON ledger.exports FROM tally_loader",
        f"REVOKE USAGE ON SCHEMA {read.schema} FROM tally_analyst",
        "GRANT SELECT ON ledger.rejected_rows TO PUBLIC",
    ):
        roles_administrator.execute(statement.encode())
    missing, extra = says(database, check_loader)
    assert missing.found == "tally_loader lacks INSERT on ledger.exports"
    assert extra.found == "tally_loader also has DELETE, TRUNCATE on ledger.loads"
    missing, extra = says(database, check_analyst)
    assert f"USAGE on the schema of {read.schema}." in missing.found
    assert extra.found == "tally_analyst also has SELECT on ledger.rejected_rows"
    assert "lacks INSERT on ledger.exports" in only(says(loader, check_own_rights), "problem").found
    analyst = make_conninfo(database, user=f"{ANALYST}_login", password=PASSWORD)
    assert "lacks" in only(says(analyst, check_own_rights), "problem").found
    roles_administrator.execute("DROP SCHEMA ledger CASCADE")
    assert "and tally_loader_login may not create schemas" in says(loader, check_own_rights)[0].found


@pytest.mark.usefixtures("granted")
def test_missing_right_to_temporary_tables_is_named(database: str, roles_administrator: psycopg.Connection) -> None:
    name = sql.Identifier(roles_administrator.info.dbname)
    loader = make_conninfo(database, user=f"{LOADER}_login", password=PASSWORD)
    revoke = sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC, {}")
    roles_administrator.execute(revoke.format(name, sql.Identifier(LOADER)))
    try:
        for dsn, check in ((database, check_loader), (loader, check_own_rights)):
            found = only(says(dsn, check), "problem")
            assert f"lacks TEMPORARY on the database {roles_administrator.info.dbname}" in found.found
            assert found.next_step.endswith("deployments.grants --apply")
        only(says(database, check_analyst), "ok")
    finally:  # other tests use the database again
        roles_administrator.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO PUBLIC").format(name))


@pytest.mark.usefixtures("roles_administrator")
def test_one_role_is_enough(database: str) -> None:
    assert "may create Tally's tables" in only(says(database, check_own_rights), "ok").found
    for check in (check_loader, check_analyst):
        only(says(database, check), "skipped")
