"""Keeps the idle sessions of a run for its next steps, because a new session costs 10 ms of the client and of Postgres.

A step finds no trace of the step that used the session earlier: `DISCARD ALL` ends temporary tables, session locks and
settings, and the pool sets the required settings again. A session that failed or lost its server is not used again.
The sessions of a pooler are not kept, because an idle session would block one of its connections.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from tasks.engine.errors import TallyError
from tasks.engine.settings import DatabaseSettings
from tasks.engine.warehouse.sessions import Connection, Session, open_session, prepare_session


class SessionPool:
    """The idle sessions of one run. Several threads may use the pool; each session has one user at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[DatabaseSettings, Session]] = []
        self._process = os.getpid()
        self._is_open = True

    @contextmanager
    def connect(self, settings: DatabaseSettings, application_name: str) -> Iterator[Connection]:
        """Lend an idle session or a new one to the block. If the block fails, the session is closed.

        Args:
            settings: The connection settings. A session with other settings is not lent.
            application_name: The name in `pg_stat_activity`.

        Raises:
            TallyError: As `open_session`.
        """
        connection = self._idle_session(settings, application_name) or open_session(settings, application_name)
        with ExitStack() as end:
            end.enter_context(connection)
            yield connection
            if self._keep(settings, connection):
                end.pop_all()

    def close_idle(self) -> None:
        """Close the idle sessions, for example during a long wait."""
        with self._lock:
            closed, self._idle = self._idle, []
        if self._is_own():
            for _, connection in closed:
                connection.close()

    def close(self) -> None:
        """Close the idle sessions, and each other session as soon as its block ends."""
        with self._lock:
            self._is_open = False
        self.close_idle()

    def _is_own(self) -> bool:
        """Return whether this process opened the sessions: a forked process shares their sockets with its parent."""
        return os.getpid() == self._process

    def _idle_session(self, settings: DatabaseSettings, application_name: str) -> Session | None:
        """Return an idle session that still works."""
        while self._is_own() and (connection := self._pop(settings)):
            with ExitStack() as failure, suppress(psycopg.Error, TallyError):
                failure.callback(connection.close)
                prepare_session(connection, application_name)
                failure.pop_all()
                return connection
        return None

    def _pop(self, settings: DatabaseSettings) -> Session | None:
        with self._lock:
            for place, (known, connection) in enumerate(self._idle):
                if known == settings:
                    del self._idle[place]
                    return connection
        return None

    def _keep(self, settings: DatabaseSettings, connection: Session) -> bool:
        """Keep a session, without what its user left there. Return whether the pool kept it."""
        is_idle = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
        if not (is_idle and connection.autocommit and connection.is_direct and self._is_own()):
            return False
        try:
            connection.execute("DISCARD ALL")
        except psycopg.Error:  # the work is done, so the loss of the session is no error
            return False
        with self._lock:
            if self._is_open:
                self._idle.append((settings, connection))
            return self._is_open
