"""Checks of Postgres' housekeeping: dead rows, and what prevents their removal."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from psycopg import sql

from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.quoting import shown

FEWEST_DEAD_ROWS = 10_000
"""A table with fewer dead rows is never reported."""

MOST_DEAD_SHARE = 0.3
OLDEST_TRANSACTION_IDS = 1_000_000_000
"""Postgres stops all writes at about two billion."""


def check_dead_rows(warehouse: Warehouse, schemas: Sequence[str]) -> Iterator[Finding]:
    """No table has a large share of dead rows, which cost space and time until a VACUUM removes them."""
    rows = warehouse.connection.execute(
        "SELECT schemaname, relname, n_live_tup, n_dead_tup, greatest(last_vacuum, last_autovacuum)"
        " FROM pg_stat_all_tables WHERE schemaname = ANY(%s) AND n_dead_tup >= %s"
        " AND n_dead_tup > %s * (n_live_tup + n_dead_tup) ORDER BY n_dead_tup DESC, 1, 2",
        [list(schemas), FEWEST_DEAD_ROWS, MOST_DEAD_SHARE],
    ).fetchall()
    for schema, table, live, dead, cleaned_at in rows:
        cleaned = f"the last VACUUM was at {cleaned_at:%Y-%m-%d %H:%M} UTC" if cleaned_at else "no VACUUM has run"
        yield warning(
            f"{schema}.{table} has {dead:,} dead rows beside {live:,} live rows; {cleaned}",
            f"at most {MOST_DEAD_SHARE:.0%} dead rows: autovacuum should remove dead rows",
            f"VACUUM (ANALYZE) {sql.Identifier(schema, table).as_string()};",
        )
    if not rows:
        yield ok("no table has many dead rows")


def check_cleaned_tables(warehouse: Warehouse, schemas: Sequence[str]) -> Iterator[Finding]:
    """Autovacuum is switched off for no table."""
    rows = warehouse.connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND lower(array_to_string(c.reloptions, ' ')) ~ 'autovacuum_enabled=(f|n|of|0)'"
        " ORDER BY 1, 2",
        [list(schemas)],
    ).fetchall()
    for schema, table in rows:
        yield problem(
            f"autovacuum is switched off for {schema}.{table}",
            "on: without autovacuum, the table grows and plans get worse",
            f"ALTER TABLE {sql.Identifier(schema, table).as_string()} RESET (autovacuum_enabled);",
        )
    if not rows:
        yield ok("autovacuum cleans every table")


def check_long_transactions(warehouse: Warehouse) -> Iterator[Finding]:
    """No transaction is open for long: it keeps all rows that were deleted or replaced after its start."""
    rows = warehouse.connection.execute(
        "SELECT pid, usename, application_name, state, extract(epoch FROM now() - xact_start) FROM pg_stat_activity"
        " WHERE xact_start < now() - %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        " AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL OR state LIKE 'idle in transaction%%')"
        " ORDER BY xact_start",
        [warehouse.patience],
    ).fetchall()
    for pid, user, application, state, seconds in rows:
        age = timedelta(seconds=float(seconds))
        yield warning(
            f"session {pid} of {user} ({shown(application or 'no name')}) has a transaction that is {_age(age)} old;"
            f" the session is {state}",
            f"no transaction older than {_age(warehouse.patience)}: VACUUM keeps every row that the transaction might"
            " read",
            f"Ask its owner, then: SELECT pg_terminate_backend({pid});",
        )
    (hidden,) = warehouse.one(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query = '<insufficient privilege>'"
    )
    if hidden:
        yield skipped(
            f"this role cannot see the transactions of {hidden} sessions of other roles",
            "GRANT pg_read_all_stats TO <role of the flows>;",
        )
    elif not rows:
        yield ok(f"no transaction is older than {_age(warehouse.patience)}")


def _age(age: timedelta) -> str:
    return str(age).split(".", maxsplit=1)[0]


def check_prepared_transactions(warehouse: Warehouse) -> Iterator[Finding]:
    """No prepared transaction is open: it outlives its session and keeps its locks. Tally prepares no transactions."""
    rows = warehouse.connection.execute(
        "SELECT gid, owner, prepared FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"
    ).fetchall()
    for gid, owner, prepared_at in rows:
        literal = sql.Literal(gid).as_string()
        yield problem(
            f"{owner} prepared transaction {shown(gid)} at {prepared_at:%Y-%m-%d %H:%M} UTC and did not end it",
            "no prepared transaction: it keeps its locks and all rows that were replaced since",
            f"COMMIT PREPARED {literal}; or ROLLBACK PREPARED {literal};",
        )
    if not rows:
        yield ok("no prepared transaction is open")


def check_replication_slots(warehouse: Warehouse) -> Iterator[Finding]:
    """Each replication slot has a reader. A slot without a reader keeps the log until the disk is full."""
    rows = warehouse.connection.execute(
        "SELECT slot_name, slot_type, pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()"
        " THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn))"
        " FROM pg_replication_slots WHERE NOT active AND NOT temporary ORDER BY 1"
    ).fetchall()
    for name, kind, size in rows:
        yield problem(
            f"{kind} replication slot {name} has no reader and keeps {size or 'no'} log",
            "a reader for each slot: the server keeps the log for it until the disk is full",
            f"Start its reader, or: SELECT pg_drop_replication_slot({sql.Literal(name).as_string()});",
        )
    if not rows:
        yield ok("no replication slot waits for a reader")


def check_transaction_ids(warehouse: Warehouse) -> Iterator[Finding]:
    """Old transaction ids are frozen in time. Otherwise Postgres stops all writes."""
    (age,) = warehouse.one("SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()")
    yield judged_age(int(str(age)))


def judged_age(age: int) -> Finding:
    """Judge the age of the oldest transaction id."""
    found = f"the oldest transaction id is {age:,} transactions old"
    if age < OLDEST_TRANSACTION_IDS:
        return ok(found)
    return problem(
        found,
        f"at most {OLDEST_TRANSACTION_IDS:,}; Postgres stops all writes at about 2,000,000,000",
        "End long transactions, drop unused replication slots, then: VACUUM (FREEZE);",
    )


def housekeeping_checks(schemas: Sequence[str]) -> tuple[Check[Warehouse], ...]:
    """The checks for the tables of some schemas."""
    return (
        Check("dead rows", lambda warehouse: check_dead_rows(warehouse, schemas)),
        Check("autovacuum of each table", lambda warehouse: check_cleaned_tables(warehouse, schemas)),
        Check("long transactions", check_long_transactions),
        Check("prepared transactions", check_prepared_transactions),
        Check("replication slots", check_replication_slots),
        Check("transaction ids", check_transaction_ids),
    )
