"""Compile the native code: `python -m tasks.engine.formats.native.build`.

The compiler is the one that `CC` names, or `cc` on the PATH, or the compiler of the package ziglang, in this order.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "native.so"
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-Wconversion", "-fPIC", "-shared", "-fvisibility=hidden")


def version() -> str:
    """Return a digest of the sources. It shows whether a library was built from these sources."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def compiler() -> list[str]:
    """Return the compiler's command.

    Raises:
        SystemExit: No compiler is available.
    """
    if named := os.environ.get("CC"):
        return shlex.split(named)
    if shutil.which("cc"):
        return ["cc"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
    raise SystemExit(
        "expected a C compiler (CC, cc on the PATH, or the package ziglang), found none."
        " Install one, for example with: pip install ziglang"
    )


def build(target: Path = LIBRARY, *flags: str) -> None:
    """Compile all sources.

    Args:
        target: The shared library to write. The file is replaced atomically.
        flags: Additional flags for the compiler.

    Raises:
        SystemExit: No compiler is available.
        subprocess.CalledProcessError: The compiler failed. Its output names the reason.
    """
    new = target.with_suffix(f".{os.getpid()}")
    sources = sorted(FOLDER.glob("*.c"))
    named = f'-DNATIVE_VERSION="{version()}"'
    try:
        subprocess.run([*compiler(), *FLAGS, named, *flags, "-o", new, *sources], check=True)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


if __name__ == "__main__":
    build()
