"""The roles of `deployments/grants.py` in the pipeline `events`."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from role_fixtures import ANALYST, LOADER, as_role, denied, put, run
from sample_dataset import connection

from deployments.samples.events import events_csv, object_key
from flows.events_monthly import events_monthly
from flows.replay_rejected import replay_rejected

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


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
        owner.execute("ALTER TABLE events_staging.events ADD COLUMN note text")  # the owner can still apply DDL
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


@pytest.mark.usefixtures("granted")
def test_table_that_the_owner_makes_later_has_the_rights_of_the_marts(database: str) -> None:
    with connection() as owner:
        owner.execute("CREATE TABLE events_marts.later (id int)")
    with as_role(database, ANALYST) as opened:
        assert not denied(opened, "SELECT * FROM events_marts.later")
    with as_role(database, LOADER) as opened:
        assert not denied(opened, "INSERT INTO events_marts.later VALUES (1)")
