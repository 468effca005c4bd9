"""Databases that the tests of a session use one after the other. To empty one costs less than to create one."""

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from deployments.local import embedded
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

_KEPT = {"applied_files": "applied_at", "datasets": "changed_at"}
"""Tables of which the DDL step writes rows, each with its column of the time. `_LEDGER_STATE` includes these rows."""

_MAX_BYTES = 1_000_000
"""A ledger with a larger table is created again, so that deleted rows do not pile up."""

_SCHEMA = "(SELECT oid FROM pg_namespace WHERE nspname = 'ledger')"
_IN_LEDGER = f"= ANY (ARRAY (SELECT oid FROM pg_class WHERE relnamespace = {_SCHEMA}))"
_LEDGER_STATE = f"""
SELECT clock_timestamp(), md5(string_agg(entry, ',' ORDER BY entry)) FROM (
    SELECT concat_ws(' ', 'namespace', oid, xmin) AS entry FROM pg_namespace WHERE nspname = 'ledger'
    UNION ALL SELECT concat_ws(' ', 'class', oid, xmin) FROM pg_class WHERE oid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'column', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'default', oid, xmin) FROM pg_attrdef WHERE adrelid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint WHERE conrelid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger WHERE tgrelid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'view', oid, xmin) FROM pg_rewrite WHERE ev_class {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'policy', oid, xmin) FROM pg_policy WHERE polrelid {_IN_LEDGER}
    UNION ALL SELECT concat_ws(' ', 'comment', objoid, objsubid, xmin) FROM pg_description
        WHERE objoid {_IN_LEDGER} OR objoid = {_SCHEMA}
    UNION ALL SELECT concat_ws(' ', 'object', classid, objid) FROM pg_depend
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = {_SCHEMA}
    UNION ALL SELECT concat_ws(' ', 'function', oid, xmin) FROM pg_proc
        WHERE pronamespace = {_SCHEMA}
    UNION ALL SELECT files::text FROM ledger.applied_files AS files
    UNION ALL SELECT datasets::text FROM ledger.datasets
) AS entries
"""
"""A digest of the definition of the ledger. It changes with every change of a catalog row."""

_SCHEMAS = """
SELECT
    nspname,
    nspname = 'public' AND nspacl IS NULL AND nspowner = CURRENT_USER::regrole
    AND obj_description(oid, 'pg_namespace') IS NULL
    AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = pg_namespace.oid)
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', %s)
"""
"""Each schema, and whether it is the schema `public` as it was created: no objects, no further rights, no comment."""


class OwnDatabases:
    """The databases of a session, which no two tests use at the same time.

    Args:
        services: The services with the Postgres server.
    """

    def __init__(self, services: embedded.Services) -> None:
        self._services = services
        self._empty: list[str] = []
        self._with_ledger: list[str] = []
        self._made: dict[str, tuple[datetime, str]] = {}
        self._connections: dict[str, Connection] = {}

    @contextmanager
    def opened(self, *, with_ledger: bool = False) -> Iterator[str]:
        """Yield the DSN of a database that is empty, or that holds only a ledger without rows."""
        free = self._with_ledger if with_ledger else self._empty
        name = free.pop() if free else self._created(with_ledger=with_ledger)
        yield self._dsn(name)
        connection = self._connected(name)
        _end_sessions(connection, name)
        if with_ledger and self._try_clear(connection, name):
            self._with_ledger.append(name)
        else:
            _drop_schemas(connection)
            self._empty.append(name)

    def close(self) -> None:
        """End the sessions that clear the databases."""
        for kept in self._connections.values():
            kept.close()

    def drop(self) -> None:
        """Drop all databases."""
        with psycopg.connect(self._services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            for name in (*self._empty, *self._with_ledger):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _dsn(self, name: str) -> str:
        # A test may have restarted the server on another port.
        server = self._services.postgres
        return make_conninfo(server.dsn if server else self._services.environment["WAREHOUSE_DSN"], dbname=name)

    def _connected(self, name: str) -> Connection:
        """Return the session that clears a database. It is kept, because a new one costs more than the statements."""
        if name in self._connections:
            with contextlib.suppress(psycopg.OperationalError):  # a test ended the session, or restarted the server
                self._connections[name].execute("")
                return self._connections[name]
            self._connections[name].close()
        # Tests of faults wait for the end of all sessions with another name.
        self._connections[name] = psycopg.connect(self._dsn(name), application_name="test", autocommit=True)
        return self._connections[name]

    def _created(self, *, with_ledger: bool) -> str:
        name = self._empty.pop() if self._empty else create_database(self._services)
        if with_ledger:
            with connect(WarehouseSettings(dsn=SecretStr(self._dsn(name))), "tests") as warehouse:
                apply_ddl(warehouse, [], [])
                self._made[name] = ledger_state(warehouse)
        return name

    def _try_clear(self, connection: Connection, name: str) -> bool:
        """Remove everything except the ledger, and all rows from the ledger, unless a test changed the ledger."""
        tables = connection.execute(
            "SELECT relname, relkind::text, pg_relation_size(oid) FROM pg_class"
            f" WHERE relnamespace = {_SCHEMA} AND relkind IN ('r', 'S')"
        ).fetchall()
        if not _KEPT.keys() < {table for table, _, _ in tables} or any(size > _MAX_BYTES for _, _, size in tables):
            return False
        _drop_schemas(connection, "ledger")
        connection.execute(
            f"SELECT setval(oid, 1, false) FROM pg_class WHERE relnamespace = {_SCHEMA} AND relkind = 'S'"
        )
        made_at, made = self._made[name]
        deletions = [
            sql.SQL("{} AS (DELETE FROM ledger.{} WHERE {})").format(
                sql.Identifier(f"from_{table}"),
                sql.Identifier(table),
                sql.SQL("{} > {}").format(sql.Identifier(_KEPT[table]), made_at) if table in _KEPT else True,
            )
            for table, kind, _ in tables
            if kind == "r"
        ]
        # Postgres checks the foreign keys at the end of the statement.
        connection.execute(sql.SQL("WITH {} SELECT").format(sql.SQL(", ").join(deletions)))
        return made == ledger_state(connection)[1]


def create_database(services: embedded.Services) -> str:
    """Create an empty database, which the flows' role owns, and return its name."""
    name = f"test_{secrets.token_hex(6)}"
    owner = conninfo_to_dict(services.environment["WAREHOUSE_DSN"]).get("user")
    role = sql.Identifier(str(owner)) if owner else sql.SQL("CURRENT_USER")
    administration = (
        services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    )
    with psycopg.connect(administration, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
        connection.execute(statement.format(sql.Identifier(name), role))
    return name


def ledger_state(connection: Connection) -> tuple[datetime, str]:
    """Return the time, and a digest of the definition of the ledger."""
    row = connection.execute(_LEDGER_STATE).fetchone()
    assert row is not None
    return row[0], row[1]


def _end_sessions(connection: Connection, database: str) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()",
        [database],
    )
    has_settings = connection.execute(
        "SELECT FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)",
        [database],
    )
    if has_settings.rowcount:
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(database)))


def _drop_schemas(connection: Connection, kept: str = "") -> None:
    """Drop all schemas except one, and create `public` again, unless `public` is as it was created."""
    schemas = connection.execute(_SCHEMAS, [kept]).fetchall()
    if changed := [schema for schema, is_new in schemas if not is_new]:
        names = sql.SQL(", ").join(map(sql.Identifier, changed))
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(names))
    if ("public", True) not in schemas:
        connection.execute("CREATE SCHEMA public")
