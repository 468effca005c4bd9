"""Child processes that end with this process, the folders that they own, and the account that they run under."""

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

# The kernel signals the children of a *thread* that ends. So one thread, which lasts as long as this process, starts
# them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-processes")


class ServiceError(RuntimeError):
    """A local service did not start, stop or answer; the message says what to look at."""


@dataclass(frozen=True)
class Account:
    """An unprivileged user and group to run a service under."""

    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Whether this account may pass through every folder above `path`, by the permission bits."""
        return all(self._may_enter(parent) for parent in path.absolute().parents)

    def _may_enter(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))


def service_account() -> Account | None:
    """The account for services that should not, or will not, run as root; None where this process is not root itself.

    `postgres` where a distribution's package has made it, else `nobody`: no user is created.

    Raises:
        ServiceError: Neither exists.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ServiceError(
        "expected an unprivileged user postgres or nobody to run services under, found neither: run as an ordinary user"
    )


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nothing listens there on the loopback interface, else a port that is free now.

    Raises:
        ServiceError: None was found.
    """
    # Below those that the system gives to clients: whoever asked may take seconds to listen.
    for port in [*([preferred] if preferred else []), *random.sample(_SERVER_PORTS, 50)]:
        with socket.socket() as listener, contextlib.suppress(OSError):
            # As servers do: a port whose last connections are still closing counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
            return port
    raise ServiceError(f"expected a free port of {_SERVER_PORTS}, found 50 of them taken: close what listens there")


@contextlib.contextmanager
def owned_folder(folder: Path, *, patience: float = 30.0) -> Iterator[int]:
    """Own `folder` until the block ends, and every process that was started with the yielded descriptor.

    The lock goes with the descriptor, and children that inherit it hold it too: it is free exactly when nothing uses
    the folder.

    Args:
        folder: What to own; `owner` in it is the lock and names the process that has it.
        patience: Seconds to wait for the services of an owner that is dead already. A living owner is an error at once.

    Raises:
        ServiceError: Somebody else has it.
    """
    lock = folder / "owner"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise ServiceError(
            f"expected {folder} to be this user's, found {error}: remove it, or choose another folder"
        ) from error
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = lock.read_text().strip()
                if _is_alive(owner) or time.monotonic() > deadline:
                    raise ServiceError(
                        f"expected {folder} to be free, found that process {owner or 'unknown'} or a service "
                        "of it uses it: stop that one (`make down` if it is the stack), or choose another folder"
                    ) from None
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def owner_of(folder: Path) -> int | None:
    """The process that owns `folder`, or whose services still use it; None where nobody does."""
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
    status = Path(f"/proc/{process}/stat")  # a zombie takes signals, too
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
    """Start `command` in a session of its own, so that Ctrl-C does not reach it before its owner has decided.

    Args:
        command: Program and arguments.
        environment: The whole environment of the command.
        log: File that its output is appended to.
        folder: Working directory.
        account: Whom to run it as; None for this process's user.
        end_with: Signal that it gets when this process ends without having stopped it (Linux).
        keep_open: Descriptors that it inherits.
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
    process: subprocess.Popen[bytes], probe: Callable[[], bool], *, name: str, log: Path, patience: float = 60.0
) -> None:
    """Return when `probe` says that the service answers.

    Raises:
        ServiceError: It ended, or did not answer within `patience` seconds; with the end of its log.
    """
    deadline = time.monotonic() + patience
    while not probe():
        if (status := process.poll()) is not None:
            raise ServiceError(
                f"{name} ended with status {status} instead of starting. The end of {log}:\n{last_lines(log)}"
            )
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not answer within {patience:.0f} s. The end of {log}:\n{last_lines(log)}")
        time.sleep(0.05)


def stop(
    process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM, *, patience: float = 20.0
) -> None:
    """Ask the process to end, wait, and kill whatever is left of its session after `patience` seconds."""
    process.send_signal(with_signal)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """The last lines of a log, for a message."""
    if not log.exists():
        return "(nothing)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
