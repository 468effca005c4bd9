"""A local Postgres server: it runs as an unprivileged user and listens on the loopback interface only."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from deployments.local.child_process import (
    LOOPBACK,
    Account,
    ServiceError,
    free_port,
    last_lines,
    owned_folder,
    service_account,
    spawn,
    stop,
    wait_until_ready,
)
from deployments.local.postgres_binaries import find_binaries, major_version, reachable_folder

ROLE = DATABASE = "tally"
ADMINISTRATOR = "postgres"
_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Postgres:
    """A Postgres server that ends with this process.

    The flows use the role `tally`, which owns the database `tally` and nothing else. The superuser `postgres` is for
    administration. Both log in over TCP with generated passwords (SCRAM). The file `credentials.json` (mode 0600)
    stores the passwords and the port.

    Args:
        folder: The folder for credentials, log and data. If this process runs as root and the unprivileged account
            cannot access the folder, the data are in the system's temporary folder instead; see the attribute `data`.
        log: The log file; by default `postgres.log` in the folder.
        is_durable: Whether commits survive a crash of the machine (`fsync`). Commits survive a crash of the server in
            either case.
        binaries: The folder of `initdb` and `postgres`; by default the folder that `find_binaries` returns.
        settings: Server settings that replace the defaults of this class.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: Path | None = None,
        is_durable: bool = True,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.log = log or self.folder / "postgres.log"
        self._is_durable = is_durable
        self._binaries = binaries
        self._settings = dict(settings or {})
        self._account = service_account()
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._owned = -1
        self._port = 0
        self._passwords: dict[str, str] = {}
        self.data = self.folder / "data"

    def __repr__(self) -> str:
        return f"Postgres({str(self.folder)!r}, port={self._port})"

    @property
    def dsn(self) -> str:
        """The libpq URI that the flows use."""
        return self._uri(ROLE, DATABASE)

    @property
    def administrator_dsn(self) -> str:
        """The libpq URI of the superuser."""
        return self._uri(ADMINISTRATOR, "postgres")

    @property
    def process_id(self) -> int | None:
        """The process id of the running postmaster, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until it accepts connections. The first start creates the data.

        Raises:
            ServiceError: There are no binaries, the data have another major version, the folder is in use, or the
                server does not start.
        """
        if self.process_id is not None:
            return
        self._stack.close()  # releases the lock if an earlier server process ended by itself
        with contextlib.ExitStack() as stack:
            self._prepare_folder()
            self._owned = stack.enter_context(owned_folder(self.folder))
            self._read_credentials()
            binaries = self._binaries or find_binaries(self._account)
            if not (self.data / "PG_VERSION").exists():
                self._create_data(binaries)
            self._check_version(binaries)
            # This process holds the lock, so the server that wrote the file has ended. Its process id may be reused.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._process = spawn(
                self._command(binaries),
                environment=_environment(),
                log=self.log,
                account=self._account,
                end_with=signal.SIGINT,
                keep_open=(self._owned,),
            )
            stack.callback(self._stop_process, "fast")
            wait_until_ready(self._process, self._answers, name="Postgres", log=self.log)
            self._create_role_and_database()
            self._stack = stack.pop_all()

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server.

        Args:
            mode: `fast` rolls back open transactions and shuts down cleanly. `immediate` simulates a crash: the next
                start runs recovery.
        """
        self._stop_process(mode)
        self._stack.close()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server and start it again on the same port with the same data."""
        self.stop(mode)
        self.start()

    def version(self) -> str:
        """Return the server's version, such as `18.6`."""
        with psycopg.connect(self.dsn) as connection:
            return connection.info.parameter_status("server_version") or "unknown"

    def _uri(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords.get(role, '')}@{LOOPBACK}:{self._port}/{database}"

    def _prepare_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o711)  # the unprivileged account can enter the folder but not list it
        self.data = self.folder / "data"
        if self._account and not self._account.can_reach(self.data):
            self.data = reachable_folder(self.folder, self._account) / "data"
        if self._account and self.data.exists():  # existing data keep their owner
            self._account = Account(self.data.stat().st_uid, self.data.stat().st_gid)

    def _read_credentials(self) -> None:
        path = self.folder / "credentials.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._passwords = kept.get("passwords") or {role: secrets.token_urlsafe(24) for role in (ADMINISTRATOR, ROLE)}
        self._port = free_port(kept.get("port"))
        write_private(path, json.dumps({"port": self._port, "passwords": self._passwords}))

    def _create_data(self, binaries: Path) -> None:
        new = self.data.with_name("data.new")  # renamed when complete: a killed start leaves no partial cluster
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password_file = self.data.with_name("password")
        write_private(password_file, self._passwords[ADMINISTRATOR])
        if self._account:
            for path in (new, password_file):
                os.chown(path, self._account.uid, self._account.gid)
        command: list[str | Path] = [
            binaries / "initdb",
            "-D",
            new,
            "-U",
            ADMINISTRATOR,
            "-A",
            "scram-sha-256",
            f"--pwfile={password_file}",
        ]
        command += ["-E", "UTF8", "--no-instructions", *_locale_options(major_version(binaries))]
        command += [] if self._is_durable else ["--no-sync"]
        try:
            process = spawn(command, environment=_environment(), log=self.log, account=self._account)
            if process.wait(120) != 0:
                raise ServiceError(f"initdb failed. The end of {self.log}:\n{last_lines(self.log)}")
        finally:
            password_file.unlink()
        new.rename(self.data)

    def _check_version(self, binaries: Path) -> None:
        found = int((self.data / "PG_VERSION").read_text())
        if found != (expected := major_version(binaries)):
            raise ServiceError(
                f"expected data of Postgres {expected}, found data of Postgres {found} in {self.data}: "
                f"dump the databases with Postgres {found}, or remove the folder to start with empty databases"
            )

    def _command(self, binaries: Path) -> list[str | Path]:
        settings = {
            "port": str(self._port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "lc_messages": "C",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self._is_durable else "off",
            # This server has no replicas and receives large loads. Postgres therefore does not log the rows of new
            # tables, flushes the log of other rows early, and makes fewer checkpoints.
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "wal_writer_delay": "10ms",
            "max_wal_size": "4GB",
        } | self._settings
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [binaries / "postgres", "-D", self.data, *options]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.administrator_dsn, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_role_and_database(self) -> None:
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        with psycopg.connect(self.administrator_dsn, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                # Iterations slow down guesses of short passwords, and each login. This password has 192 random bits.
                if connection.info.server_version >= 160000:
                    connection.execute("SET scram_iterations = 1")
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(self._passwords[ROLE]))
                )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))

    def _stop_process(self, mode: str) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                stop(self._process, _STOP_SIGNALS[mode])
            self._process = None


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically with one that only the current user can read."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)


def _environment() -> Mapping[str, str]:
    """Return an environment without the caller's PG* variables, and with a fixed time zone."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _locale_options(major: int) -> list[str]:
    """Return options for byte-order collation and Unicode upper and lower case.

    From Postgres 17 on, the result is the same on every machine.
    """
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8", "--lc-messages=C"]
