"""Checks of the Postgres settings that cost safety or speed. Each has a reason; all other settings are left alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from tasks.engine.doctor.outcomes import Check, Finding, ok, warning
from tasks.engine.doctor.warehouse_server import Warehouse

KIB, MIB = 1 << 10, 1 << 20
_UNITS = {"B": 1, "kB": KIB, "8kB": 8 * KIB, "MB": MIB, "ms": 1, "s": 1_000, "min": 60_000}
MANY_CHECKPOINTS = 20


@dataclass(frozen=True)
class Rule:
    """The accepted values of one setting.

    Attributes:
        name: Name of the setting.
        outcome: Whether any other value is a problem or a warning.
        is_good: Judges the value: `on`, `off` or another word, else a number in bytes, milliseconds or pieces.
        value: The value to set.
        reason: What another value costs.
    """

    name: str
    outcome: Literal["problem", "warning"]
    is_good: Callable[[str | int], bool]
    value: str
    reason: str


def _is(*words: str) -> Callable[[str | int], bool]:
    return lambda value: value in words


def _at_least(least: int) -> Callable[[str | int], bool]:
    return lambda value: isinstance(value, int) and value >= least


RULES = (
    Rule("fsync", "problem", _is("on"), "on", "with `off`, a crash of the host can destroy the database"),
    Rule("full_page_writes", "problem", _is("on"), "on", "with `off`, a crash of the host can leave damaged pages"),
    Rule("autovacuum", "problem", _is("on"), "on", "without it, tables grow, plans get worse, and writes finally stop"),
    Rule("track_counts", "problem", _is("on"), "on", "without it, autovacuum does not know which tables to clean"),
    Rule("zero_damaged_pages", "problem", _is("off"), "off", "with `on`, Postgres removes rows of damaged pages"),
    Rule(
        "ignore_checksum_failure", "problem", _is("off"), "off", "with `on`, Postgres reads damaged rows as good ones"
    ),
    Rule(
        "synchronous_commit",
        "warning",
        _is("on", "local", "remote_write", "remote_apply"),
        "on",
        "with `off`, a crash of the server takes back loads and exports that a run has reported",
    ),
    Rule(
        "shared_buffers",
        "warning",
        _at_least(128 * MIB),
        "1GB",
        "a smaller cache reads the same pages from disk again. A quarter of the memory is usual",
    ),
    Rule(
        "max_wal_size",
        "warning",
        _at_least(1 << 30),
        "4GB",
        "a smaller log forces checkpoints during a load, which writes many pages twice",
    ),
    Rule(
        "checkpoint_timeout",
        "warning",
        _at_least(60_000),
        "5min",
        "frequent checkpoints write many pages several times, and in full to the log",
    ),
    Rule("work_mem", "warning", _at_least(4 * MIB), "16MB", "sorts and groups of builds go to disk"),
    Rule(
        "maintenance_work_mem",
        "warning",
        _at_least(64 * MIB),
        "256MB",
        "indexes and VACUUM need several passes over a table",
    ),
    Rule(
        "max_parallel_workers_per_gather",
        "warning",
        _at_least(1),
        "2",
        "builds read staging tables in parallel; with 0 they use one processor",
    ),
    Rule(
        "jit_above_cost",
        "warning",
        lambda value: isinstance(value, int) and (value < 0 or value >= 10_000),
        "100000",
        "Postgres compiles small queries too, which takes longer than running them",
    ),
)


def check_setting(rule: Rule, warehouse: Warehouse) -> Iterator[Finding]:
    """Compare one setting of the server with its rule."""
    text, unit, kind, context, shown = warehouse.one(
        "SELECT setting, unit, vartype, context, current_setting(name) FROM pg_settings WHERE name = %s", rule.name
    )
    value: str | int = str(text)
    if kind in {"integer", "real"}:
        value = int(float(str(text)) * _UNITS.get(str(unit), 1))
    if rule.is_good(value):
        yield ok(f"{rule.name} = {shown}")
        return
    after = "Restart the server" if context == "postmaster" else "SELECT pg_reload_conf();"
    yield Finding(
        rule.outcome,
        f"{rule.name} = {shown}",
        f"{rule.name} = {rule.value} or another safe value: {rule.reason}",
        f"ALTER SYSTEM SET {rule.name} = '{rule.value}';\n{after}",
    )


def check_checkpoints(warehouse: Warehouse) -> Iterator[Finding]:
    """Most checkpoints come by the clock. A checkpoint that a full log requests slows a load down."""
    if warehouse.connection.info.server_version >= 170_000:
        query = "SELECT num_timed, num_requested FROM pg_stat_checkpointer"
    else:
        query = "SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter"
    timed, requested = (int(str(value)) for value in warehouse.one(query))
    found = f"{timed:,} timed and {requested:,} requested checkpoints"
    if requested >= MANY_CHECKPOINTS and requested > timed:
        yield warning(
            found,
            "more timed than requested checkpoints: a full log requests checkpoints in the middle of a load",
            "ALTER SYSTEM SET max_wal_size = '8GB';\nSELECT pg_reload_conf();\n"
            "Then count anew: SELECT pg_stat_reset_shared("
            f"'{'checkpointer' if warehouse.connection.info.server_version >= 170_000 else 'bgwriter'}');",
        )
    else:
        yield ok(found)


def check_checksums(warehouse: Warehouse) -> Iterator[Finding]:
    """Checksums of pages are on: they reveal pages that the disk has damaged."""
    (state,) = warehouse.one("SELECT current_setting('data_checksums')")
    if state == "on":
        yield ok("data_checksums = on")
    else:
        yield warning(
            f"data_checksums = {state}",
            "on: Postgres otherwise returns the rows of a damaged page without an error",
            "Stop the server, then run: pg_checksums --enable --pgdata <data_directory>",
        )


def check_session_defaults(warehouse: Warehouse) -> Iterator[Finding]:
    """No default of the role or the database can refuse a build or switch foreign keys off."""
    rows = warehouse.connection.execute(
        "SELECT coalesce(r.rolname, 'all roles'), coalesce(d.datname, 'all databases'), value"
        " FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS value"
        " LEFT JOIN pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_database AS d ON d.oid = s.setdatabase"
        " WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND (s.setrole = 0 OR r.rolname = current_user)"
        " AND split_part(value, '=', 1) = ANY(%s) ORDER BY 1, 2, 3",
        [["session_replication_role", "temp_file_limit", "session_preload_libraries"]],
    ).fetchall()
    for role, database, value in rows:
        name = str(value).split("=", maxsplit=1)[0]
        target = sql.Identifier(warehouse.connection.info.dbname).as_string()
        yield warning(
            f"{value} for {role} in {database}",
            "no such setting: it can make a build fail, or switch foreign keys off",
            f"ALTER DATABASE {target} RESET {name};\nALTER ROLE CURRENT_USER RESET {name};",
        )
    if not rows:
        yield ok("no setting of the role or the database disturbs a run")


def _check_of(rule: Rule) -> Check[Warehouse]:
    return Check(rule.name, lambda warehouse: check_setting(rule, warehouse))


SETTING_CHECKS = (
    *map(_check_of, RULES),
    Check("checkpoints", check_checkpoints),
    Check("checksums", check_checksums),
    Check("settings of the role and the database", check_session_defaults),
)
