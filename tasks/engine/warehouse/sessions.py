"""Sessions with Postgres: opens every connection of the engine with the required settings."""

import select
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus
from psycopg.rows import TupleRow

from tasks.engine.errors import PooledSessionError, WarehouseError, errors_at, from_postgres
from tasks.engine.settings import DatabaseSettings

Connection = psycopg.Connection[TupleRow]
Answer = TypeVar("Answer")

CONNECT_TIMEOUT = 10
"""Maximum time in seconds to open a connection."""

UNSENT_TIMEOUT = 120_000
"""Milliseconds after which a connection with unacknowledged bytes counts as lost."""

PROBE_SECONDS = 5.0
"""Maximum time in seconds that the probe of a pooler waits for a server connection."""

OWNER_SETTING = "tally.session"
"""Custom setting of a session that stores the process id that the client sees. It identifies the owner of a backend."""

# Settings that affect the meaning of values, casts, comparisons and COPY, and timeouts. A role, a database, a service
# file, the DSN and PG* variables can change them, so every session sets them and verifies the result.
_MEANING = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "search_path": "pg_catalog, pg_temp",
    "TimeZone": "UTC",
    "timezone_abbreviations": "Default",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "gin_fuzzy_search_limit": "0",
    # A policy that hides rows from this role becomes an error instead of missing rows.
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "exit_on_error": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "15min",
}
_SINCE_17 = {"transaction_timeout": "0"}

# With these settings Postgres frees the locks of a killed run or of a lost host within a minute. They are not verified,
# because the server shows 0 for the keepalives of a Unix socket.
_LIVENESS = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


_PREPARE = """
SELECT
    pg_catalog.pg_backend_pid(),
    pg_catalog.current_setting('server_encoding'),
    pg_catalog.current_setting('session_replication_role'),
    pg_catalog.pg_is_in_recovery(),
    (
        SELECT pg_catalog.array_agg(pg_catalog.set_config(wanted.name, wanted.value, false))
        FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[]))
            AS wanted (name, value)
    )
"""


@contextmanager
def connect(
    settings: DatabaseSettings, application_name: str, server: str = "warehouse", *, is_written: bool = True
) -> Iterator[Connection]:
    """Open a session in autocommit mode for the block; callers open transactions themselves.

    Args:
        settings: The connection settings.
        application_name: The name in `pg_stat_activity`, such as `events 2021-04`.
        server: The server's name in errors.
        is_written: Whether the session writes. If so, the database must use UTF-8, and it must not be a standby.

    Raises:
        TallyError: As `open_session`.
    """
    with open_session(settings, application_name, server, is_written=is_written) as connection:
        yield connection


def open_session(
    settings: DatabaseSettings, application_name: str, server: str = "warehouse", *, is_written: bool = True
) -> "Session":
    """Open a session as `connect`. The caller closes it.

    Raises:
        WarehouseUnavailableError: Postgres does not answer.
        WarehouseError: The login, the database or one of its settings is wrong.
        PooledSessionError: A pooler assigns a different session to each transaction.
    """
    try:
        connection = _open(settings, application_name)
    except psycopg.Error as error:
        raise from_postgres(error, f"{server} connection to {_address(error, settings)}", settings.origin) from error
    with ExitStack() as failure, errors_at(f"{server} session"):
        failure.callback(connection.close)
        backend = prepare_session(connection, application_name, server, is_written=is_written)
        connection.is_direct = backend == connection.info.backend_pid
        if not connection.is_direct:
            _refuse_shared_backend(connection, settings)
        failure.pop_all()
    return connection


def prepare_session(
    connection: Connection, application_name: str, server: str = "warehouse", *, is_written: bool = True
) -> int:
    """Set the required settings in one statement, and verify the result.

    Startup options cannot be used: poolers refuse them, and the DSN may contain other options.

    Args:
        connection: A session with the settings of its role and database.
        application_name: As for `connect`.
        server: As for `connect`.
        is_written: As for `connect`.

    Returns:
        The process id of the backend.

    Raises:
        WarehouseError: Postgres refuses a setting, or the database or the server is not the expected one.
    """
    meaning = _MEANING | (_SINCE_17 if connection.info.server_version >= 170_000 else {})
    owner = {OWNER_SETTING: str(connection.info.backend_pid), "application_name": application_name}
    wanted = _LIVENESS | owner | meaning
    row = connection.execute(_PREPARE, [list(wanted), list(wanted.values())]).fetchone() or ()
    backend, encoding, replication, is_standby, values = row
    found = dict(zip(wanted, values, strict=True))
    if wrong := [name for name in meaning if found[name] != meaning[name]]:
        differences = ", ".join(f"{name} = {found[name]!r} instead of {meaning[name]!r}" for name in wrong)
        raise WarehouseError(f"{server} session: Postgres kept {differences} ({_place(connection)})")
    if connection.info.encoding != "utf-8":
        raise WarehouseError(f"{server} session: expected the client to use UTF-8, found {connection.info.encoding}")
    if encoding != "UTF8" and (is_written or encoding == "SQL_ASCII"):
        raise WarehouseError(
            f"{server} session: expected a database encoded in UTF8, found {encoding} ({_place(connection)}). Create"
            " the database with ENCODING 'UTF8' TEMPLATE template0, and copy the data"
        )
    if is_written:
        _refuse_unwritable(connection, server, replication, is_standby=is_standby)
    return int(backend)


def _refuse_unwritable(connection: Connection, server: str, replication: str, *, is_standby: bool) -> None:
    if replication != "origin":
        raise WarehouseError(
            f"{server} session: expected session_replication_role = origin, found {replication}: Postgres would check"
            " no foreign key. Reset it for the role and the database: ALTER ROLE ... RESET session_replication_role"
        )
    if is_standby:
        raise WarehouseError(
            f"{server} session: expected a server that takes writes, found a standby ({_place(connection)}). Name the"
            " primary in the DSN, or several hosts with target_session_attrs=read-write"
        )


def verify_session(connection: Connection, owner: str | None) -> None:
    """Verify that the connection still has its own backend.

    Args:
        connection: A connection that `connect` opened.
        owner: The current value of `OWNER_SETTING` in the backend.

    Raises:
        PooledSessionError: The backend belongs to another connection, or to no connection.
    """
    if owner != str(connection.info.backend_pid):
        raise PooledSessionError(
            "the session with Postgres changed between two transactions: a pooler between Tally and Postgres shares its"
            f" sessions ({_place(connection)}). Connect to Postgres directly, or set pool_mode = session in the pooler"
        )


class Session(psycopg.Connection[TupleRow]):
    """A connection that distinguishes a lost server from an error of the client.

    Attributes:
        is_direct: Whether no pooler is between the client and Postgres.
    """

    is_direct: bool = False

    def wait(self, gen: PQGen[Answer], *args: Any, **options: Any) -> Answer:
        """Wait for the server.

        Raises:
            ProgrammingError: The client refused a statement, such as one with too many parameters, while the connection
                stays usable. psycopg raises `OperationalError`, as it does for a lost connection.
        """
        try:
            return super().wait(gen, *args, **options)
        except psycopg.OperationalError as error:
            if error.sqlstate or self.pgconn.status != ConnStatus.OK:
                raise
            raise psycopg.ProgrammingError(str(error)) from error


def _address(error: psycopg.Error, settings: DatabaseSettings) -> str:
    """Return the host and the port of an attempt to connect, as far as they are known."""
    parts = conninfo_to_dict(settings.dsn.get_secret_value())
    host, port = parts.get("host") or "localhost", parts.get("port") or "5432"
    if error.pgconn:
        host, port = error.pgconn.host.decode() or host, error.pgconn.port.decode() or port
    return f"{host}:{port}"


def _open(settings: DatabaseSettings, application_name: str) -> Session:
    return Session.connect(
        settings.dsn.get_secret_value(),
        autocommit=True,
        # A prepared statement would become invalid after a change of its tables.
        prepare_threshold=None,
        client_encoding="UTF8",
        application_name=application_name,
        connect_timeout=CONNECT_TIMEOUT,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=UNSENT_TIMEOUT,
    )


def _refuse_shared_backend(connection: Connection, settings: DatabaseSettings) -> None:
    """Refuse a pooler that shares this session's backend with other clients between transactions.

    Postgres sends the client the process id of its backend; a pooler sends another number. A second connection then
    reveals the pooler's mode: in session mode it never gets the same backend.
    """
    own = _backend_pid(connection)
    try:
        with connection.transaction():
            row = connection.execute("SELECT current_setting(%s, true)", [OWNER_SETTING]).fetchone()
    except psycopg.Error as error:
        raise PooledSessionError(
            f"the pooler between Tally and Postgres refuses transactions: {error} ({_place(connection)}). Connect to"
            " Postgres directly, or set pool_mode = session in the pooler"
        ) from error
    verify_session(connection, row[0] if row else None)
    with closing(_open(settings, "tally probe")) as probe:
        # This uses libpq directly: if all servers of the pooler are in use, the statement waits, not the connection.
        probe.pgconn.send_query(b"SELECT pg_catalog.pg_backend_pid()")
        ready, _, _ = select.select([probe.pgconn.socket], [], [], PROBE_SECONDS)
        result = probe.pgconn.get_result() if ready else None
        other = result.get_value(0, 0) if result else None
    if str(own).encode() == other or _backend_pid(connection) != own:
        verify_session(connection, None)


def _backend_pid(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def _place(connection: Connection) -> str:
    info = connection.info
    return f"database {info.dbname} at {info.host}:{info.port}"
