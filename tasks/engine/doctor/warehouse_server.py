"""Checks of the Postgres server: version, encoding, settings, TLS, role, connections and disk."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.settings import DatabaseSettings
from tasks.engine.warehouse.tables import Connection

OLDEST_VERSION = 15
LOOPBACK = ("127.0.0.1", "::1", "localhost", "")
VERIFYING = ("verify-full", "verify-ca")
GIB = 1 << 30
MOST_CONNECTIONS_USED = 0.8
FEWEST_CONNECTIONS = 8
"""Four loads and builds, each with up to two sessions."""


@dataclass(frozen=True)
class Warehouse:
    """The warehouse that is checked.

    Attributes:
        connection: In autocommit mode.
        settings: How the connection was opened.
        patience: Age at which an open transaction counts as long.
    """

    connection: Connection
    settings: DatabaseSettings
    patience: timedelta = timedelta(hours=1)

    def one(self, query: str, *values: object) -> tuple[object, ...]:
        """The first row of a query."""
        return self.connection.execute(query.encode(), values or None).fetchone() or ()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        host = self.connection.info.host
        return host in LOOPBACK or host.startswith("/")


def check_version(warehouse: Warehouse) -> Iterator[Finding]:
    """The server is Postgres 15 or newer: Tally supports no older version."""
    number = warehouse.connection.info.server_version
    found = f"Postgres {warehouse.connection.info.parameter_status('server_version')}"
    if number < OLDEST_VERSION * 10_000:
        yield problem(found, f"Postgres {OLDEST_VERSION} or newer", "Upgrade the server, for example with pg_upgrade")
    else:
        yield ok(found)


def check_encoding(warehouse: Warehouse) -> Iterator[Finding]:
    """The database must use UTF-8, because objects contain any character."""
    (encoding,) = warehouse.one("SELECT current_setting('server_encoding')")
    if encoding == "UTF8":
        yield ok("the database is encoded in UTF8")
        return
    name = sql.Identifier(f"{warehouse.connection.info.dbname}_utf8").as_string()
    yield problem(
        f"the database is encoded in {encoding}",
        "a database encoded in UTF8; runs refuse any other",
        f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0;\n"
        f"then set the database in {warehouse.settings.origin}",
    )


def check_is_primary(warehouse: Warehouse) -> Iterator[Finding]:
    """The server takes writes: it is no standby, and no default makes sessions read-only."""
    is_standby, is_read_only = warehouse.one(
        "SELECT pg_is_in_recovery(), coalesce((SELECT bool_or(value LIKE '%=on') FROM pg_db_role_setting AS s"
        " CROSS JOIN unnest(s.setconfig) AS value WHERE value LIKE 'default_transaction_read_only=%'"
        " AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        " AND (s.setrole = 0 OR s.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user))), false)"
    )
    if is_standby:
        yield problem(
            "the server is a standby",
            "a server that takes writes",
            f"Name the primary in {warehouse.settings.origin}, or several hosts with target_session_attrs=read-write",
        )
    elif is_read_only:
        yield warning(
            "default_transaction_read_only is on for this role or this database",
            "off: somebody may have stopped writes on purpose, but runs of Tally ignore the setting and write",
            "Find out who set it. To reset it:\nSET default_transaction_read_only = off;\n"
            "ALTER ROLE CURRENT_USER RESET default_transaction_read_only;\n"
            f"ALTER DATABASE {_database(warehouse)} RESET default_transaction_read_only;",
        )
    else:
        yield ok("the server takes writes")


def check_tls(warehouse: Warehouse) -> Iterator[Finding]:
    """The connection uses TLS, which hides passwords and rows, and verifies the server by its certificate."""
    mode = conninfo_to_dict(warehouse.settings.dsn.get_secret_value()).get("sslmode") or "prefer"
    if warehouse.is_local:
        yield skipped("the server is on this machine, so the connection needs no TLS")
    elif not warehouse.connection.pgconn.ssl_in_use:
        yield problem(
            f"the connection to {warehouse.connection.info.host} has no TLS: passwords and rows can be read on the way",
            "TLS with a verified certificate",
            f"Add sslmode=verify-full and sslrootcert=/path/to/ca.pem to {warehouse.settings.origin}",
        )
    elif mode not in VERIFYING:
        yield warning(
            f"the connection is encrypted, but sslmode={mode} does not verify the server",
            "sslmode=verify-full, so that no other server can take the place of the warehouse",
            f"Set sslmode=verify-full and sslrootcert=/path/to/ca.pem in {warehouse.settings.origin}",
        )
    else:
        yield ok(f"the connection is encrypted, and sslmode={mode} verifies the server")


def check_role(warehouse: Warehouse) -> Iterator[Finding]:
    """The role of the flows has no right over the whole server: flows need none."""
    name, is_super, *others = warehouse.one(
        "SELECT rolname, rolsuper, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
        " WHERE rolname = current_user"
    )
    attributes = ("CREATEROLE", "REPLICATION", "BYPASSRLS")
    extra = [word for word, has in zip(attributes, others, strict=True) if has]
    quoted = sql.Identifier(str(name)).as_string()
    if is_super:
        yield warning(
            f"the flows log in as {name}, a superuser",
            "a role that owns the tables, or a role with the rights of the loader. A superuser can read every file of"
            " the server",
            "Create the roles and give their login to the flows:\n.venv/bin/python -m deployments.grants --apply",
        )
    elif extra:
        yield warning(
            f"role {name} has {', '.join(extra)}",
            "a role without rights over the server: flows need none",
            f"ALTER ROLE {quoted} {' '.join(f'NO{word}' for word in extra)};",
        )
    else:
        yield ok(f"role {name} has no right over the server")


def check_connections(warehouse: Warehouse) -> Iterator[Finding]:
    """The server has free connections for runs, and no limit of the role or the database is too small for them."""
    used, most, of_role, of_database = (
        int(str(value))
        for value in warehouse.one(
            "SELECT (SELECT sum(numbackends) FROM pg_stat_database),"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,"
            " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
            " (SELECT datconnlimit FROM pg_database WHERE datname = current_database())"
        )
    )
    for limit, what, name in ((of_role, "ROLE", _role(warehouse)), (of_database, "DATABASE", _database(warehouse))):
        if 0 <= limit < FEWEST_CONNECTIONS:
            yield problem(
                f"the {what.lower()} may have {limit} connections",
                f"at least {FEWEST_CONNECTIONS}: four loads and builds at a time use up to two each",
                f"Ask an administrator of the server to run:\nALTER {what} {name} CONNECTION LIMIT -1;",
            )
    if used > MOST_CONNECTIONS_USED * most:
        yield warning(
            f"{used} of {most} connections are in use",
            f"at most {MOST_CONNECTIONS_USED:.0%}; a full server refuses runs",
            "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3;\n"
            "End sessions that are not needed, or raise max_connections",
        )
    else:
        yield ok(f"{used} of {most} connections are in use")


def _database(warehouse: Warehouse) -> str:
    return sql.Identifier(warehouse.connection.info.dbname).as_string()


def _role(warehouse: Warehouse) -> str:
    return sql.Identifier(warehouse.connection.info.user).as_string()


def check_disk(warehouse: Warehouse) -> Iterator[Finding]:
    """The disk has free space, as far as this machine can see: SQL shows only the size of the database."""
    size, may_see = warehouse.one(
        "SELECT pg_database_size(current_database()), pg_has_role('pg_read_all_settings', 'USAGE')"
    )
    text = f"the database takes {_gib(int(str(size)))}"
    folder = str(warehouse.one("SELECT current_setting('data_directory')")[0]) if may_see else ""
    if warehouse.is_local and folder and Path(folder).is_dir():
        usage = shutil.disk_usage(folder)
        yield free_space(text, folder, usage.total, usage.free)
        return
    yield skipped(
        f"{text}. SQL cannot show the free space of the server's disk", "On the server: df -h <data_directory>"
    )


def free_space(size: str, folder: str, total: int, free: int) -> Finding:
    """Judge the free space of the disk of a server on this machine."""
    found = f"{size}; {_gib(free)} of {_gib(total)} are free on the disk of {folder}"
    step = (
        "Free or add space on this disk. The largest tables:\n"
        "SELECT oid::regclass, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
        " ORDER BY pg_total_relation_size(oid) DESC LIMIT 10;"
    )
    if free < max(GIB, total // 50):
        return problem(found, "at least 1 GiB and 2 % free; on a full disk every load fails", step)
    if free < total // 10:
        return warning(
            found, "at least 10 % free: a load that replaces a partition needs space for both versions", step
        )
    return ok(found)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 else f"{size / (1 << 20):.1f} MiB"


SERVER_CHECKS = (
    Check("version", check_version),
    Check("encoding", check_encoding),
    Check("takes writes", check_is_primary),
    Check("TLS", check_tls),
    Check("role of the flows", check_role),
    Check("connections", check_connections),
    Check("disk space", check_disk),
)
