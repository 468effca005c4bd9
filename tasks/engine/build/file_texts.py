"""Texts of SQL files. A step asks for them hundreds of times, so each version of a file is read once."""

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
