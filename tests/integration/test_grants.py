"""The roles of `deployments/grants.py`: the SQL that gives them their rights, and what a role lacks."""

import psycopg
import pytest
from declared_fixtures import Declare
from role_fixtures import ANALYST, LOADER, as_role, denied
from sample_dataset import connection
from sample_visits import VISITS

from deployments import grants
from tasks.contracts.catalog import contracts
from tasks.engine.errors import WarehouseError
from tasks.engine.schema import rights
from tasks.engine.schema.ddl import apply_ddl

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


def test_every_pipeline_of_the_catalog_has_its_rights(declare: Declare) -> None:
    declare(VISITS)
    found = rights.pipelines()
    assert set(found) == {contract.pipeline for contract in contracts().values()} >= {"visits"}
    text = grants.grants_sql([]).as_string()
    for pipeline in found.values():
        for contract in pipeline.contracts:
            schema, table = contract.table.split(".")
            assert f'"{schema}"."{table}"' in text


def test_sql_of_one_pipeline_is_printed_with_quoted_names(capsys: pytest.CaptureFixture[str], declare: Declare) -> None:
    declare(VISITS)
    others = [contract for contract in contracts().values() if contract is not VISITS]
    assert grants.main(["--pipeline", "visits", "--loader", 'The "loader"', "--analyst", "ana lyst"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("BEGIN;\n")
    assert text.endswith("COMMIT;\n")
    assert 'TO "The ""loader"""' in text
    assert '"visits_staging"' in text
    assert not [contract.table for contract in others if f'"{contract.table.split(".")[0]}"' in text]
    assert grants.main(["--pipeline", "nothing"]) == 1
    names = ", ".join(sorted({contract.pipeline for contract in contracts().values()}))
    assert f"expected a pipeline of {names}, found nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("granted")
def test_table_that_the_owner_makes_later_has_the_rights_of_the_ledger(database: str) -> None:
    with connection() as owner:
        owner.execute("CREATE TABLE ledger.later (id int)")
    with as_role(database, ANALYST) as opened:
        assert denied(opened, "SELECT * FROM ledger.later")
    with as_role(database, LOADER) as opened:
        assert denied(opened, "UPDATE ledger.later SET id = 2")


def test_printed_sql_may_be_applied_by_any_client(roles_administrator: psycopg.Connection) -> None:
    with connection() as owner:
        for pipeline in rights.pipelines().values():
            apply_ddl(owner, pipeline.contracts, pipeline.schemas)
    roles_administrator.execute(grants.grants_sql([]))  # an administrator may make the roles, too


@pytest.mark.usefixtures("roles_administrator")
def test_owner_without_the_right_to_create_roles_gets_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection() as owner, pytest.raises(WarehouseError, match=r"42501.*create role.*grants"):
        grants.apply_grants(owner, [], LOADER, ANALYST)
    assert grants.main(["--apply"]) == 1
    monkeypatch.delenv("WAREHOUSE_DSN")
    assert grants.main(["--apply"]) == 1
    assert "WAREHOUSE_DSN is not set" in capsys.readouterr().err
