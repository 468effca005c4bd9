"""Find secrets in texts: known values, and patterns that only secrets have."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SECRET_PATTERN = re.compile(
    r"://[^/\s:@]+:[^/\s@]+@"  # a URL with a password
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # the id of an AWS key
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bpassword=\S"
)
MASKED = re.compile(r"://[^/\s:@]+:(\*+|\(secret\)|<[^>]*>|\$\{[^}]*\}|\.\.\.|…)@")
"""A URL whose password is already replaced by stars or by a placeholder."""

_KINDS = {"://": "a URL with a password", "AKIA": "an AWS key id", "ASIA": "an AWS key id", "-----": "a private key"}

SHORTEST = 8
"""Shorter values occur in texts by chance."""


def secret_kinds(text: str, known: Mapping[str, str]) -> list[str]:
    """Return what secrets a text contains, without their values.

    Args:
        text: Any text.
        known: Values of secrets, each with its name.
    """
    kinds = [name for value, name in known.items() if len(value) >= SHORTEST and value in text]
    for match in SECRET_PATTERN.finditer(MASKED.sub("", text)):
        kinds.append(next((kind for begin, kind in _KINDS.items() if match[0].startswith(begin)), "a password"))
    return list(dict.fromkeys(kinds))


def texts_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield every text in a nested value, with the path to it."""
    if isinstance(value, str):
        yield ".".join(path), value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts_of(str(key), (*path, "key"))
            yield from texts_of(item, (*path, str(key)))
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for number, item in enumerate(value):
            yield from texts_of(item, (*path, str(number)))
