"""Classification of psycopg's errors: the SQLSTATE, its meaning, the next step, and whether a retry may succeed.

Postgres gives most errors an SQLSTATE. Two kinds have none. Errors during connecting are recognised by their text.
Every other error without an SQLSTATE comes from the client: an `OperationalError` is a lost connection, any other class
is an error in the data or in the code (`tasks.engine.warehouse.sessions.Session` ensures this distinction).
"""

from dataclasses import dataclass

import psycopg

UNREACHABLE, LOST = "unreachable", "connection lost"

RETRIED_CLASSES = ("08", "53")
RETRIED = frozenset(
    {
        "25P03",  # idle in transaction for too long
        "25P04",  # a transaction that took too long, by a limit that Tally does not set
        "40000",
        "40001",  # serialization failure, also a conflict with recovery on a standby
        "40003",
        "40P01",  # deadlock
        "55P03",  # lock not available
        "57P01",  # shutdown, or an administrator ended the session
        "57P02",
        "57P03",  # starting up
        "57P05",  # idle session timeout
        "72000",  # snapshot too old, up to Postgres 16
    }
)
NOT_RETRIED = frozenset({"53100", "53400"})
PROTOCOL_VIOLATION = "08P01"

NAMES = {
    "08P01": "the server did not understand the message",
    "22021": "a text contains bytes that the database cannot store",
    "25006": "the server or the session is read-only",
    "28P01": "wrong user or password",
    "28000": "this user may not log in",
    "3D000": "no such database",
    "42703": "no such column",
    "42P01": "no such table",
    "53100": "the disk is full",
    "53300": "too many connections",
    "53400": "a limit in the server's configuration",
    "57014": "the statement was cancelled, by a user or by a timeout",
}
"""Names, for messages, of the states that settings, changed schemas and limits of the server cause."""

ADVICE = {
    "42501": "Grant the missing right to the user of {origin}. In the warehouse, the owner of the tables runs"
    " `python -m deployments.grants --apply`, which grants the rights of the flows",
    "53300": "End sessions that nobody needs (pg_stat_activity), or raise max_connections or the limit of the user",
    "53400": "Raise the limit that the message names",
}
"""The next step, for states whose texts of Postgres name none."""

_LOGIN = "Correct the user or the password in {origin}"
_CONNECTING: tuple[tuple[str, str, str], ...] = (
    ("password authentication failed", "28P01", _LOGIN),
    ("no password supplied", "28P01", _LOGIN),
    (
        "no encryption",
        "28000",
        "The server requires TLS from this host: set sslmode=verify-full and sslrootcert in {origin}, or allow this"
        " user without TLS in pg_hba.conf",
    ),
    ("ssl required", "TLS", "Set sslmode=verify-full and sslrootcert in {origin}"),
    ("no pg_hba.conf entry", "28000", "Allow this host, user and database in the server's pg_hba.conf"),
    (
        "root certificate file",
        "TLS",
        "Set sslrootcert in {origin} to the file of the certificate authority, or to `system` for the authorities that"
        " the system trusts",
    ),
    (
        "certificate verify failed",
        "TLS",
        "Set sslrootcert in {origin} to the authority that signed the server's certificate",
    ),
    ("does not match host name", "TLS", "Use the host name from the server's certificate in {origin}"),
    ("certificate", "TLS", "Check sslmode, sslrootcert, sslcert and sslkey in {origin}, and the server's certificate"),
    ("private key file", "TLS", "Check sslkey in {origin}"),
    ("does not support ssl", "TLS", "Switch `ssl` on in the server, or correct host, port or sslmode in {origin}"),
    ("tlsv1 alert", "TLS", "Check sslmode and the certificates that {origin} names"),
    ("sslv3 alert", "TLS", "Check sslmode and the certificates that {origin} names"),
    ("unsupported startup parameter", "bad setting", "Remove `options` from {origin}: a pooler refuses them"),
    ("unrecognized configuration parameter", "bad setting", "Correct `options` in {origin}, or PGOPTIONS"),
    (
        "invalid value for parameter",
        "bad setting",
        "Correct `options` in {origin}, or PGOPTIONS and other PG* variables",
    ),
    ("definition of service", "bad setting", "Correct `service` in {origin}, or PGSERVICE and the service file"),
    ("invalid port number", "bad setting", "Correct {origin}"),
    ("invalid integer value", "bad setting", "Correct {origin}"),
    ("invalid sslmode value", "bad setting", "Correct {origin}"),
    ('role "', "28000", _LOGIN),
    ("does not exist", "3D000", "Create the database, or correct its name in {origin}"),
    ("permission denied", "42501", "GRANT CONNECT ON DATABASE to this user, or correct {origin}"),
)
"""A part of the error's text (English, lower case), the state for the message, and the next step."""

_NO_HOST = ("failed to resolve host", "could not translate host name")


@dataclass(frozen=True)
class Diagnosis:
    """The meaning of an error of psycopg.

    Attributes:
        state: The SQLSTATE, or a short description of an error without an SQLSTATE.
        advice: The next step for the reader. May be empty.
        is_transient: Whether a retry may succeed.
    """

    state: str
    advice: str
    is_transient: bool

    @property
    def name(self) -> str:
        """The meaning of the state, as the beginning of a message. Empty if the text of Postgres is sufficient."""
        return f"{NAMES[self.state]}: " if self.state in NAMES else ""


def diagnose(error: psycopg.Error, origin: str) -> Diagnosis:
    """Classify an error of psycopg.

    Args:
        error: The error that psycopg raised.
        origin: The source of the DSN, such as `WAREHOUSE_DSN`, for the advice.
    """
    if error.sqlstate:
        advice = ADVICE.get(error.sqlstate, "").format(origin=origin)
        return Diagnosis(error.sqlstate, advice, _is_retried(error.sqlstate, error.diag.severity_nonlocalized or ""))
    if not isinstance(error, psycopg.OperationalError):
        return _diagnose_client(error)
    return _diagnose_connection(error, origin)


def _is_retried(state: str, severity: str) -> bool:
    if state == PROTOCOL_VIOLATION:
        # With severity ERROR the connection stays usable: the message was invalid, and a retry would send it again.
        return severity in {"FATAL", "PANIC"}
    return state in RETRIED or (state.startswith(RETRIED_CLASSES) and state not in NOT_RETRIED)


def _diagnose_client(error: psycopg.Error) -> Diagnosis:
    if isinstance(error, psycopg.DataError):
        return Diagnosis("value refused by the client", "Correct the data, or reject such values", is_transient=False)
    return Diagnosis("statement refused by the client", "Correct the SQL or its parameters", is_transient=False)


def _diagnose_connection(error: psycopg.Error, origin: str) -> Diagnosis:
    text = str(error).lower()
    for part, state, advice in _CONNECTING:
        if part in text:
            return Diagnosis(state, advice.format(origin=origin), is_transient=False)
    if any(part in text for part in _NO_HOST):
        # A name server that did not answer may know the name. Only its "unknown name" is permanent.
        is_transient = "temporary failure" in text
        return Diagnosis("bad host name", f"Correct the host in {origin}", is_transient)
    if is_connecting(error):
        advice = f"Check that the server is running, and check the host and the port in {origin} and the firewalls"
        return Diagnosis(UNREACHABLE, advice, is_transient=True)
    return Diagnosis(LOST, "", is_transient=True)


def is_connecting(error: psycopg.Error) -> bool:
    """Return whether an attempt to connect raised this error, which has no SQLSTATE."""
    return error.pgconn is not None or isinstance(error, psycopg.errors.ConnectionTimeout)
