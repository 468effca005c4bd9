"""JSON paths: how a contract names a value inside nested objects and arrays.

`properties.mag` names a key of the object under `properties`, and `items[0].sku` a key of the first element of the
array under `items`. A key that contains a dot or a bracket is written in quotes: `properties["a.b"]`.
"""

import json
import re
from functools import lru_cache

Step = str | int
"""The key of an object, or the index of an array's element, which begins at 0."""

WHOLE_DOCUMENT = "$"
"""The `records_key` of a JSON document that is one record."""

_STEP = re.compile(r'(?:^|(?<=.)\.)([^.\[\]"]+)|\[(0|[1-9][0-9]{0,8})\]|\[("(?:[^"\\]|\\.)*")\]', re.DOTALL)
_PLAIN = re.compile(r'[^.\[\]"]+')


@lru_cache(maxsize=10_000)
def steps_of(text: str) -> tuple[Step, ...]:
    """Return the steps of a path. A text that is not a path is one key."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        key = _key(match) if match else None
        if match is None or key is None:
            return (text,)
        steps.append(key)
        at = match.end()
    return tuple(steps) or (text,)


def _key(match: re.Match[str]) -> Step | None:
    plain, index, quoted = match.groups()
    if quoted is None:
        return plain if index is None else int(index)
    try:
        return str(json.loads(quoted))
    except ValueError:
        return None


def places_of(name: str) -> tuple[tuple[Step, ...], ...]:
    """Return the places where a JSON record may have the value of a source: the key of this name, and the path."""
    return tuple(dict.fromkeys([(name,), steps_of(name)]))


def path_text(steps: tuple[Step, ...]) -> str:
    """Return the text of a path. A single key is returned unchanged."""
    if len(steps) == 1 and isinstance(steps[0], str):
        return steps[0]
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text
