"""The roles of `deployments/grants.py` in the pipeline `totesys`."""

from random import Random
from typing import TYPE_CHECKING

import psycopg
import pytest
from role_fixtures import ANALYST, LOADER, as_role, denied, run
from sample_dataset import connection
from totesys_oracle import SCHEMAS, Source, Warehouse, changes_of

from deployments import grants
from deployments.samples.totesys import fill_source
from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync
from tasks.contracts.totesys import TOTESYS
from tasks.engine.schema.ddl import apply_ddl

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


@pytest.mark.usefixtures("as_loader", "totesys_stores")
def test_loader_runs_syncs_and_deletions(totesys_source: "TotesysSource", database: str) -> None:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as source:
        fill_source(source, sales_orders=20)
        run(totesys_sync)
        source.execute("DELETE FROM payment WHERE payment_id = (SELECT max(payment_id) FROM payment)")
        assert sum(receipt.closed_count for receipt in run(totesys_deletions)) == 1
        run(totesys_sync)
    with as_role(database, ANALYST) as opened:
        assert opened.execute("SELECT count(*) > 0 FROM totesys_warehouse.fact_payment_current").fetchone() == (True,)


@pytest.mark.usefixtures("granted")
def test_table_that_the_owner_makes_later_is_hidden_where_some_tables_are(database: str) -> None:
    with connection() as owner:
        owner.execute("CREATE TABLE totesys_warehouse.later (id int)")
    with as_role(database, ANALYST) as opened:
        assert denied(opened, "SELECT * FROM totesys_warehouse.later")


def filled(warehouse: Warehouse) -> Source:
    source = Source(Random(1))  # noqa: S311 - repeatable, not secret
    for table in source.tables:
        for row_id in (1, 2, 3):
            source.put(table, row_id)
    warehouse.sync(changes_of(source))
    return source


@pytest.mark.usefixtures("granted")
def test_loader_runs_and_can_neither_drop_nor_erase_history(database: str) -> None:
    with as_role(database, LOADER) as opened:
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
    with as_role(database, ANALYST) as opened:
        for name in star:
            assert opened.execute(f"SELECT count(*) > 0 FROM {name}").fetchone() == (True,)
            assert denied(opened, f"DELETE FROM {name}"), name
            assert denied(opened, f"INSERT INTO {name} DEFAULT VALUES"), name
        for name in others:
            assert denied(opened, f"SELECT * FROM {name}"), name
        assert denied(opened, "CREATE TABLE totesys_warehouse.mine (id int)")


@pytest.mark.usefixtures("granted")
def test_manually_granted_right_is_revoked(roles_administrator: psycopg.Connection, database: str) -> None:
    roles_administrator.execute("GRANT SELECT ON totesys_staging.payment TO tally_analyst")
    roles_administrator.execute("GRANT DELETE ON totesys_warehouse.fact_payment TO tally_loader")
    with connection() as owner:
        # The owner can revoke a grant of a superuser, because it counts as a grant of the owner.
        grants.apply_grants(owner, [], LOADER, ANALYST)
    with as_role(database, LOADER) as opened:
        assert denied(opened, "DELETE FROM totesys_warehouse.fact_payment")
    with as_role(database, ANALYST) as opened:
        assert denied(opened, "SELECT * FROM totesys_staging.payment")
