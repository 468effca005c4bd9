"""Texts of SQL files. A step asks for them hundreds of times, so each version of a file is read once."""

import os
import time
from functools import lru_cache
from pathlib import Path

SETTLED = 1_000_000_000
"""Nanoseconds after a change of a file until the time of the change identifies its text."""


def text_of(path: Path) -> str:
    """Return the current text of a file; empty if the file does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    if abs(time.time_ns() - found.st_mtime_ns) < SETTLED:
        return path.read_text(encoding="utf-8")
    return _text(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1000)
def _text(path: Path, *_version: int) -> str:
    return path.read_text(encoding="utf-8")


Version = tuple[tuple[str, int, int, int], ...]


def version_of(root: Path) -> Version | None:
    """Return what identifies the texts of all SQL files under a folder. None: a file has just changed.

    The result is the key of a cache of what follows from the files.
    """
    found, now = [], time.time_ns()
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".sql"):
                path = f"{folder}/{name}"
                stat = os.stat(path)  # noqa: PTH116 - a path object for each file would take longer than the rest
                if abs(now - stat.st_mtime_ns) < SETTLED:
                    return None
                found.append((path, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
