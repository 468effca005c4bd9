"""Quoting: makes external text printable and short before a person or a server reads it.

Objects, keys, column names, servers and drivers supply text of any length, with NUL, control characters or terminal
escapes. A Prefect server on Postgres refuses a state or an artifact that contains NUL. So every message, artifact, log
line and run name passes through this module.
"""

from collections.abc import Iterable, Sequence

VALUE_LIMIT = 80
"""Maximum number of characters of one value in a message."""

NAMES_LIMIT = 20
"""Maximum number of names in a list in a message."""

MESSAGE_LIMIT = 8_000
"""Maximum number of characters of a message."""

CUT = "…"


def printable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    r"""Make a message of one or several lines printable, and bound its length.

    Line feeds are kept. Every other invisible character (control and format characters, surrogates, unassigned code
    points) becomes an escape such as `\x00`. A longer message is shortened in the middle, because its end usually
    states the next step.

    Args:
        text: The message.
        limit: Maximum number of characters of the result.
    """
    lines = bounded(text, limit).split("\n")
    if all(line.isprintable() for line in lines):
        return bounded(text, limit)
    return bounded("\n".join(_escaped(line) for line in lines), limit)


def shown(value: bytes | str, limit: int = VALUE_LIMIT) -> str:
    r"""Format a value on one line, printable and short, without quotes. Use it for names and addresses.

    Args:
        value: A text, or bytes in UTF-8. Bytes that are not UTF-8 become escapes such as `\xff`.
        limit: Maximum number of characters. A longer value is cut and ends with an ellipsis.
    """
    # A character has at most four bytes in UTF-8, so further bytes cannot appear in the result.
    begin = value[: 4 * (limit + 1)]
    text = begin.decode(errors="backslashreplace") if isinstance(begin, bytes) else begin
    one_line = _escaped(text[: limit + 1])
    is_cut = len(one_line) > limit or len(begin) < len(value)
    return one_line[:limit] + CUT if is_cut else one_line


def quoted(value: bytes | str, limit: int = VALUE_LIMIT) -> str:
    """Format a value in quotes on one line, printable and short. Use it for data in messages.

    Args:
        value: See `shown`.
        limit: See `shown`.
    """
    text = shown(value, limit)
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{text}{quote}"


def listed(names: Iterable[bytes | str], most: int = NAMES_LIMIT) -> str:
    """Join names with commas, each printable and short. The number of omitted names follows.

    Args:
        names: The names.
        most: Maximum number of names in the list.
    """
    known: Sequence[bytes | str] = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(map(shown, known[:most])) + more


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Shorten a text in the middle. A note states how many characters were removed.

    Args:
        text: Any text.
        limit: Maximum number of characters of the result.
    """
    if len(text) <= limit:
        return text
    note = f" {CUT} (at least {len(text) - limit:,} characters left out) {CUT} "
    kept = max(limit - len(note), 0)
    end = kept // 4
    return (text[: kept - end] + note + text[len(text) - end :])[:limit]


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)
