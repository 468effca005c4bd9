"""Texts of SQL files. A step asks for them hundreds of times, so each version of a file is read once."""

import os
import time
from functools import lru_cache
from pathlib import Path

STABLE_AGE = 1_000_000_000
"""Minimum age of a file's last change, in nanoseconds, for the time of this change to identify the file's text. After a
younger change, the file may change again and keep the same time, because the clock of a file system is coarse."""


def text_of(path: Path) -> str:
    """Return the current text of a file; empty if the file does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    if abs(time.time_ns() - found.st_mtime_ns) < STABLE_AGE:
        return path.read_text(encoding="utf-8")
    return _text(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1000)
def _text(path: Path, *_version: int) -> str:
    return path.read_text(encoding="utf-8")


Version = tuple[tuple[str, int, int, int], ...]
"""Path, inode, time of the last change and size of each SQL file under a folder."""


def version_of(root: Path) -> Version | None:
    """Return the version of all SQL files under a folder, as a key for caches of values that derive from the files.

    Returns None if a file changed less than `STABLE_AGE` ago: a version would not identify its text yet.
    """
    found, now = [], time.time_ns()
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".sql"):
                path = f"{folder}/{name}"
                stat = os.stat(path)  # noqa: PTH116 - path objects would take longer than all other work here
                if abs(now - stat.st_mtime_ns) < STABLE_AGE:
                    return None
                found.append((path, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
