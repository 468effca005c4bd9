"""The oldest packaged Postgres server that Tally supports, with TLS: Debian builds its server with OpenSSL."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tls import Authority

from deployments.local.child_process import service_account
from deployments.local.postgres_server import Postgres

OLDEST_MAJOR = 15
_PACKAGES = Path("/usr/lib/postgresql")
_HOSTS = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


def missing() -> str | None:
    """Return why this machine cannot run the server, or None if it can."""
    if _binaries() is None:
        return f"{_PACKAGES} has no Postgres {OLDEST_MAJOR} or newer: apt-get install postgresql-{OLDEST_MAJOR}"
    return None


@contextlib.contextmanager
def tls_server(folder: Path, identity: Authority) -> Iterator[Postgres]:
    """Run a server that accepts connections over TLS only.

    Args:
        folder: A folder that the unprivileged account can access. The server's files are in it.
        identity: The server's certificate and key.
    """
    plain = Postgres(folder, is_durable=False, binaries=_binaries())
    plain.start()  # creates the data, the role and the database
    plain.stop()
    server = Postgres(folder, is_durable=False, binaries=_binaries(), settings={"ssl": "on"})
    for source, name in ((identity.certificate, "server.crt"), (identity.key, "server.key")):
        _write(plain.data / name, source.read_text())
    _write(plain.data / "pg_hba.conf", _HOSTS)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _binaries() -> Path | None:
    majors = sorted(int(path.name) for path in _PACKAGES.glob("*") if re.fullmatch(r"\d+", path.name))
    found = [_PACKAGES / str(major) / "bin" for major in majors if major >= OLDEST_MAJOR]
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    if account := service_account():
        shutil.chown(path, account.uid, account.gid)
