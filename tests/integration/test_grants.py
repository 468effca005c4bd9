"""The roles of `deployments/grants.py`: what each may do is enough for its work, and nothing else works."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from prefect import Flow, Task
from prefect.logging import disable_run_logger
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from sample_dataset import client, connection, lake
from totesys_oracle import SCHEMAS, Source, Warehouse, changes_of

from deployments import grants
from deployments.local import embedded
from deployments.samples.commerce import sample_shop
from deployments.samples.events import events_csv, object_key
from deployments.samples.orders import sample_orders
from deployments.samples.totesys import fill_source
from flows.commerce_analytics import commerce_analytics
from flows.events_monthly import events_monthly
from flows.orders_daily import orders_daily
from flows.replay_rejected import replay_rejected
from flows.totesys_deletions import totesys_deletions
from flows.totesys_sync import totesys_sync
from tasks.contracts.totesys import TOTESYS
from tasks.engine.errors import WarehouseError
from tasks.engine.schema import rights
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

# The names of the roles are the same for all who share a server.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]

LOADER, ANALYST = "tally_loader", "tally_analyst"
ROLES = (LOADER, ANALYST)
PASSWORD = secrets.token_hex(16)


@pytest.fixture
def administrator(services: embedded.Services, database: str) -> Iterator[psycopg.Connection]:
    """An administrator in the test's database; what it makes of the roles is gone afterwards."""
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
def granted(administrator: psycopg.Connection, database: str) -> None:
    """The roles with their grants, and a login for each."""
    owner = sql.Identifier(str(conninfo_to_dict(database)["user"]))
    for role in map(sql.Identifier, ROLES):
        administrator.execute(sql.SQL("CREATE ROLE {}").format(role))
    administrator.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(LOADER), owner))
    for role in ROLES:
        administrator.execute(
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


def run(flow: Flow[Any, Any], **parameters: Any) -> Any:
    """Run a flow's tasks one after the other, without a Prefect server and without what it would show there."""

    def call(task: Task[Any, Any], *arguments: Any, **named: Any) -> Any:
        is_shown = task.name.startswith("report_") and task.name != "report_finished"
        return [] if is_shown else task.fn(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, disable_run_logger():
        patch.setattr(Task, "__call__", call)
        return flow.fn(**parameters)


def put(key: str, content: bytes) -> None:
    client().put_object(Bucket=lake().bucket, Key=key, Body=content)


def put_events(month: str, *, seed: int) -> None:
    put(object_key("", month), b"".join(events_csv(month, 300, seed=seed, bad_rows=2)))


@pytest.mark.usefixtures("as_loader")
def test_loader_runs_months_of_events_also_again_and_owns_no_more_than_their_partitions(database: str) -> None:
    statuses = []
    for month, seed in (("2021-03", 1), ("2021-04", 1), ("2021-04", 2), ("2021-04", 2)):
        put_events(month, seed=seed)
        statuses += [receipt.status for receipt in run(events_monthly, month=month)]
    assert statuses == ["loaded", "loaded", "replaced", "unchanged"]
    run(replay_rejected, dataset="events", partition="2021-04")
    with psycopg.connect(database, autocommit=True) as owner:
        owned = owner.execute(
            "SELECT relname, pg_get_userbyid(relowner) FROM pg_class"
            " WHERE relnamespace = 'events_staging'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') ORDER BY relname"
        ).fetchall()
        role = str(conninfo_to_dict(database)["user"])
        assert owned == [
            ("events", LOADER), ("events_2021_03", LOADER), ("events_2021_04", LOADER), ("events_ingested", role)
        ]  # fmt: skip
        assert owner.execute("SELECT count(*) > 500 FROM events_staging.events_ingested").fetchone() == (True,)
        owner.execute("ALTER TABLE events_staging.events ADD COLUMN note text")  # the owner goes on applying DDL
    with as_role(database, ANALYST) as opened:
        for name in ("events_marts.event_counts_by_country", "events_staging.events_ingested"):
            assert opened.execute(f"SELECT count(*) > 0 FROM {name}").fetchone() == (True,)
        for name in ("events_staging.events", "events_staging.events_2021_04", "ledger.rejected_rows", "ledger.loads"):
            assert denied(opened, f"SELECT * FROM {name}"), name
        assert denied(opened, "DELETE FROM events_marts.event_counts_by_country")
    with as_role(database, LOADER) as opened:
        for statement in (
            "DROP TABLE events_marts.event_counts_by_country",
            "TRUNCATE events_marts.event_counts_by_country",
            "DROP VIEW events_staging.events_ingested",
            "DROP SCHEMA events_staging CASCADE",
            "CREATE TABLE events_marts.mine (id int)",
            "DELETE FROM ledger.loads",
            "TRUNCATE ledger.rejected_rows",
            "DELETE FROM ledger.exports",
        ):
            assert denied(opened, statement), statement


@pytest.mark.usefixtures("as_loader")
def test_loader_runs_days_of_orders(database: str) -> None:
    days = [date(2021, 12, 31), date(2022, 1, 1)]
    for day, content in sample_orders(days[0], 2, 20).files.items():
        put(f"Input/{day}.json", content)
        assert [receipt.status for receipt in run(orders_daily, day=day)] == ["loaded"]
    with as_role(database, ANALYST) as opened:
        for table in ("latest_orders", "orders_table", "order_details", "users_table"):
            assert opened.execute(f"SELECT count(*) > 0 FROM orders_core.{table}").fetchone() == (True,)
        assert denied(opened, "SELECT * FROM orders_staging.orders_raw")


@pytest.mark.usefixtures("as_loader")
def test_loader_runs_the_shop(database: str) -> None:
    for as_of, seed in ((date(2021, 12, 31), 1), (date(2022, 1, 1), 2)):
        for name, content in sample_shop(as_of, 50, seed=seed).files.items():
            put(f"orders_data/{name}", content)
        assert run(commerce_analytics, as_of=as_of)
    with as_role(database, ANALYST) as opened:
        assert opened.execute("SELECT count(*) FROM commerce_analytics.agg_shipments").fetchone() == (2,)
        assert denied(opened, "SELECT * FROM commerce_staging.orders")


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
def test_tables_that_the_owner_makes_later_have_the_rights_of_their_schema(database: str) -> None:
    with connection() as owner:
        owner.execute("CREATE TABLE events_marts.later (id int)")
        owner.execute("CREATE TABLE totesys_warehouse.later (id int)")
        owner.execute("CREATE TABLE ledger.later (id int)")
    with as_role(database, ANALYST) as opened:
        assert not denied(opened, "SELECT * FROM events_marts.later")
        assert denied(opened, "SELECT * FROM totesys_warehouse.later")  # where some tables are not for analysts
        assert denied(opened, "SELECT * FROM ledger.later")
    with as_role(database, LOADER) as opened:
        assert not denied(opened, "INSERT INTO events_marts.later VALUES (1)")
        assert denied(opened, "UPDATE ledger.later SET id = 2")


def test_every_pipeline_of_the_catalog_has_its_rights() -> None:
    found = rights.pipelines()
    assert set(found) == {"commerce", "events", "orders", "totesys"}
    assert "if_common" in found["commerce"].schemas
    text = grants.grants_sql([]).as_string()
    for pipeline in found.values():
        for contract in pipeline.contracts:
            schema, table = contract.table.split(".")
            assert f'"{schema}"."{table}"' in text


def test_sql_of_one_pipeline_is_printed_with_quoted_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert grants.main(["--pipeline", "orders", "--loader", 'The "loader"', "--analyst", "ana lyst"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("BEGIN;\n")
    assert text.endswith("COMMIT;\n")
    assert 'TO "The ""loader"""' in text
    assert '"events_staging"' not in text
    assert grants.main(["--pipeline", "nothing"]) == 1
    assert "expected a pipeline of commerce, events, orders, totesys, found nothing" in capsys.readouterr().err


def test_printed_sql_may_be_applied_by_any_client(administrator: psycopg.Connection) -> None:
    with connection() as owner:
        for pipeline in rights.pipelines().values():
            apply_ddl(owner, pipeline.contracts, pipeline.schemas)
    administrator.execute(grants.grants_sql([]))  # an administrator may make the roles, too


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
def test_right_that_was_given_by_hand_is_taken_away(administrator: psycopg.Connection, database: str) -> None:
    administrator.execute("GRANT SELECT ON totesys_staging.payment TO tally_analyst")
    administrator.execute("GRANT DELETE ON totesys_warehouse.fact_payment TO tally_loader")
    with connection() as owner:
        grants.apply_grants(owner, [], LOADER, ANALYST)  # what a superuser gives, it gives in the owner's name
    with as_role(database, LOADER) as opened:
        assert denied(opened, "DELETE FROM totesys_warehouse.fact_payment")
    with as_role(database, ANALYST) as opened:
        assert denied(opened, "SELECT * FROM totesys_staging.payment")


@pytest.mark.usefixtures("administrator")
def test_owner_without_the_right_to_create_roles_gets_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection() as owner, pytest.raises(WarehouseError, match=r"42501.*create role.*grants"):
        grants.apply_grants(owner, [], LOADER, ANALYST)
    assert grants.main(["--apply"]) == 1
    monkeypatch.delenv("WAREHOUSE_DSN")
    assert grants.main(["--apply"]) == 1
    assert "WAREHOUSE_DSN is not set" in capsys.readouterr().err
