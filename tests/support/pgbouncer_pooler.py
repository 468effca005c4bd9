"""A connection pooler for the tests: PgBouncer, from a distribution's package."""

import contextlib
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.local.child_process import LOOPBACK, free_port, service_account, spawn, stop, wait_until_ready

_CONFIGURATION = """
[databases]
pooled = host={host} port={port} dbname={dbname} user={user} password={password}

[pgbouncer]
listen_addr = {loopback}
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 10
{options}
"""


def missing() -> str | None:
    """Return why this machine has no pooler, or None if the pooler is installed."""
    return None if shutil.which("pgbouncer") else "pgbouncer is not on PATH: apt-get install pgbouncer"


@contextlib.contextmanager
def pooler(dsn: str, mode: str, options: str = "") -> Iterator[str]:
    """Run PgBouncer before a database during the block.

    Args:
        dsn: DSN of the database, with a password.
        mode: `session`, `transaction` or `statement`.
        options: More lines of the configuration.

    Yields:
        The DSN of the same database through the pooler.
    """
    parts, port, account = conninfo_to_dict(dsn), free_port(), service_account()
    folder = Path(tempfile.mkdtemp(prefix="tally-test-pooler-"))
    folder.chmod(0o711)
    try:
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(**parts, loopback=LOOPBACK, listen_port=port, mode=mode, options=options)
        )
        configuration.chmod(0o600)
        if account:
            shutil.chown(configuration, account.uid, account.gid)
        log = folder / "pgbouncer.log"
        command = [shutil.which("pgbouncer") or "pgbouncer", configuration]
        process = spawn(command, environment={"PATH": "/usr/bin"}, log=log, account=account, end_with=signal.SIGINT)
        try:
            wait_until_ready(process, lambda: _listens(port), name="PgBouncer", log=log)
            yield make_conninfo(host=LOOPBACK, port=port, dbname="pooled", user=parts["user"])
        finally:
            stop(process, signal.SIGKILL)  # it has nothing to save, and its own shutdown takes a third of a second
    finally:
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True
