"""What an error of psycopg means: its SQLSTATE, a name for it, what to do next, and whether trying again can help.

Postgres gives most errors an SQLSTATE. Two kinds have none. An error while connecting is known by its text only. Every
other error without an SQLSTATE comes from the client: `OperationalError` where the connection is lost, else an error of
the data or of the code (`tasks.engine.warehouse.sessions.Session` keeps the two apart).
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
    "08P01": "the server did not understand what it was sent",
    "22021": "a text holds bytes that the database cannot store",
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
"""What the message calls a state that a setting, a changed schema or a server's limit brings about."""

_LOGIN = "Correct the user or the password in {origin}"
_CONNECTING: tuple[tuple[str, str, str], ...] = (
    ("password authentication failed", "28P01", _LOGIN),
    ("no password supplied", "28P01", _LOGIN),
    (
        "no encryption",
        "28000",
        "The server wants TLS from this host: set sslmode=verify-full and sslrootcert in {origin}, or let pg_hba.conf"
        " admit this user without TLS",
    ),
    ("ssl required", "TLS", "Set sslmode=verify-full and sslrootcert in {origin}"),
    ("no pg_hba.conf entry", "28000", "Admit this host, user and database in the server's pg_hba.conf"),
    (
        "root certificate file",
        "TLS",
        "Set sslrootcert in {origin} to the file of the certificate authority; sslrootcert=system takes those of the"
        " system",
    ),
    (
        "certificate verify failed",
        "TLS",
        "Set sslrootcert in {origin} to the authority that signed the server's certificate",
    ),
    ("does not match host name", "TLS", "Name the host in {origin} as the server's certificate does"),
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
"""A part of the text of an error at connection time, in lower case and English, with the state and what to do."""

_NO_HOST = ("failed to resolve host", "could not translate host name")


@dataclass(frozen=True)
class Diagnosis:
    """What an error of psycopg means.

    Attributes:
        state: SQLSTATE, or a word where there is none.
        advice: What to do next; may be empty.
        is_transient: Whether trying again can help.
    """

    state: str
    advice: str
    is_transient: bool

    @property
    def name(self) -> str:
        """What the state means, as the beginning of a message; empty where Postgres' own text says it all."""
        return f"{NAMES[self.state]}: " if self.state in NAMES else ""


def diagnose(error: psycopg.Error, origin: str) -> Diagnosis:
    """What an error means.

    Args:
        error: As psycopg raised it.
        origin: Where the DSN comes from, such as `WAREHOUSE_DSN`, for the advice.
    """
    if error.sqlstate:
        return Diagnosis(error.sqlstate, "", _is_retried(error.sqlstate, error.diag.severity_nonlocalized or ""))
    if not isinstance(error, psycopg.OperationalError):
        return _diagnose_client(error)
    return _diagnose_connection(error, origin)


def _is_retried(state: str, severity: str) -> bool:
    if state == PROTOCOL_VIOLATION:
        # As an ERROR it leaves the connection usable: the message was wrong, and would be wrong again.
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
        # A name server that does not answer is not one that knows no such name.
        is_transient = "temporary failure" in text
        return Diagnosis("bad host name", f"Correct the host in {origin}", is_transient)
    if is_connecting(error):
        advice = f"Check that the server runs, the host and the port in {origin}, and firewalls"
        return Diagnosis(UNREACHABLE, advice, is_transient=True)
    return Diagnosis(LOST, "", is_transient=True)


def is_connecting(error: psycopg.Error) -> bool:
    """Whether an error without an SQLSTATE was raised by an attempt to connect."""
    return error.pgconn is not None or isinstance(error, psycopg.errors.ConnectionTimeout)
