"""Compile the engine's native library for a test, with other flags or sources."""

import hashlib
import os
import subprocess
from pathlib import Path

from tasks.engine.formats.native import binding
from tasks.engine.formats.native.sources import sources_digest

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".pytest_cache" / "native"
FLAGS = ("-std=c11", "-fPIC", "-shared", "-fvisibility=hidden")


def compile_library(
    target: Path, *flags: str, compiler: str = "cc", sources: Path = binding.FOLDER, digest: str = ""
) -> None:
    """Compile all sources of a folder.

    Args:
        target: The library to write.
        flags: Added to `FLAGS`.
        compiler: The program.
        sources: The folder.
        digest: Source digest in the library; by default the real digest.
    """
    version = f'-DNATIVE_VERSION="{digest or sources_digest(sources)}"'
    command = [compiler, *FLAGS, *flags, version, "-o", str(target), *map(str, sorted(sources.glob("*.c")))]
    subprocess.run(command, check=True)


def cached_library(compiler: str, *flags: str) -> Path:
    """Return the library with some flags. It is compiled only if the sources, the flags or the compiler changed."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    key = "\0".join([str(sources_digest(binding.FOLDER)), version, *FLAGS, *flags])
    library = CACHE / f"{hashlib.sha256(key.encode()).hexdigest()}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        new = library.with_suffix(f".{os.getpid()}")
        compile_library(new, *flags, compiler=compiler)
        new.replace(library)
    return library
