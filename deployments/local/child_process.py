"""Child processes that end with this process, the folders they lock, and the account they run under."""

import contextlib
import fcntl
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_SERVER_PORTS = range(20_000, 32_768)
_BOUND_PROCESS = Path(__file__).with_name("bound_process.py")

# The kernel sends the parent-death signal when the *thread* that started a child ends. One thread that lives as long
# as this process therefore starts all children.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-processes")


class ServiceError(RuntimeError):
    """A local service did not start, stop or respond. The message says what to check."""


@dataclass(frozen=True)
class Account:
    """An unprivileged user and group that run a service."""

    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Return whether the permission bits let this account enter every folder above `path`."""
        return all(self._may_enter(parent) for parent in path.absolute().parents)

    def _may_enter(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))


def service_account() -> Account | None:
    """Return the account for services that must not run as root, or None if this process does not run as root.

    The account is `postgres` if it exists (a distribution's package creates it), else `nobody`. This function creates
    no user.

    Raises:
        ServiceError: Neither user exists.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ServiceError(
        "expected the user postgres or nobody to run services under, found neither: run this command without root"
    )


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if it is free on the loopback interface, else a random free port.

    Raises:
        ServiceError: No free port was found.
    """
    # The server may need seconds before it listens. The range lies below the system's client ports, so that no
    # outgoing connection takes the port in the meantime.
    for port in [*([preferred] if preferred else []), *random.sample(_SERVER_PORTS, 50)]:
        with socket.socket() as listener, contextlib.suppress(OSError):
            # Servers set this option too: a port whose last connections are still closing counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
            return port
    raise ServiceError(
        f"expected a free port between {_SERVER_PORTS.start} and {_SERVER_PORTS.stop - 1}, tried 50 and found all of "
        "them in use: stop some of the programs that listen there"
    )


@contextlib.contextmanager
def owned_folder(folder: Path, *, timeout: float = 30.0) -> Iterator[int]:
    """Lock `folder` until the block and every process that inherited the yielded descriptor have ended.

    Child processes that inherit the descriptor share the lock. The lock is therefore free only when no process uses
    the folder.

    Args:
        folder: The folder to lock. Its file `owner` is the lock and contains the id of the process that holds it.
        timeout: Seconds to wait for the services of an owner that has already ended. If the owner still runs, the
            function fails at once.

    Raises:
        ServiceError: Another process holds the lock.
    """
    lock = folder / "owner"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise ServiceError(
            f"expected {folder} to belong to the current user, found: {error}. Remove it, or choose another folder"
        ) from error
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = lock.read_text().strip()
                if _is_alive(owner) or time.monotonic() > deadline:
                    raise ServiceError(
                        f"expected {folder} to be free, found that process {owner or 'unknown'} or one of its "
                        "services uses it: stop that process (`make down` stops the stack), or choose another folder"
                    ) from None
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def owner_of(folder: Path) -> int | None:
    """Return the id of the process that locked `folder`, or None if the folder is free.

    The process itself may have ended while its services still use the folder.
    """
    try:
        descriptor = os.open(folder / "owner", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 20, 0) or 0)
    else:
        return None
    finally:
        os.close(descriptor)


def _is_alive(process: str) -> bool:
    if not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")  # a zombie accepts signals too, so its state is checked as well
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def spawn(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    log: Path,
    folder: Path = Path("/"),
    account: Account | None = None,
    end_with: signal.Signals = signal.SIGTERM,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, so that Ctrl-C reaches this process only.

    Args:
        command: The program and its arguments.
        environment: The complete environment of the command.
        log: The file to which the command's output is appended.
        folder: The working directory.
        account: The user to run the command as; None means the user of this process.
        end_with: The signal that the kernel sends if this process ends without stopping the command (Linux only).
        keep_open: The file descriptors that the command inherits.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    bound = [sys.executable, "-I", "-S", str(_BOUND_PROCESS), str(os.getpid()), str(int(end_with)), str(uid), str(gid)]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [*bound, *map(str, command)],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(keep_open),
                start_new_session=True,
            )

    return _SPAWNER.submit(start).result()


def wait_until_ready(
    process: subprocess.Popen[bytes], probe: Callable[[], bool], *, name: str, log: Path, timeout: float = 60.0
) -> None:
    """Wait until `probe` returns True.

    Raises:
        ServiceError: The service ended, or did not respond within `timeout` seconds. The message contains the end of
            its log.
    """
    deadline = time.monotonic() + timeout
    while not probe():
        if (status := process.poll()) is not None:
            raise ServiceError(
                f"{name} ended with status {status} during start-up. The end of {log}:\n{last_lines(log)}"
            )
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not respond within {timeout:.0f} s. The end of {log}:\n{last_lines(log)}")
        time.sleep(0.05)


def stop(
    process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM, *, timeout: float = 20.0
) -> None:
    """Send the signal and wait; after `timeout` seconds, kill all processes of the session."""
    process.send_signal(with_signal)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log file for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
