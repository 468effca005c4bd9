"""Compile the compiled part of the engine: `python -m tasks.engine.formats.native.build`.

By the compiler that `CC` names, else `cc`, else that of the package ziglang, which needs nothing of the machine.
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
    """Digest of the sources: a library that was built from others has another one."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def compiler() -> list[str]:
    """The command that compiles.

    Raises:
        SystemExit: There is none.
    """
    if named := os.environ.get("CC"):
        return shlex.split(named)
    if shutil.which("cc"):
        return ["cc"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
    raise SystemExit(
        "expected a C compiler: the one that CC names, cc on PATH, or the package ziglang; found none."
        " Install one, such as: pip install ziglang"
    )


def build(target: Path = LIBRARY, *flags: str) -> None:
    """Compile all sources.

    Args:
        target: The shared library to write; it appears whole.
        flags: More of them.

    Raises:
        SystemExit: There is no compiler.
        subprocess.CalledProcessError: It failed, and said why.
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
