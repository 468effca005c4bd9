"""Quoting: text from outside becomes printable and short before a person or a server reads it.

Objects, keys, column names, servers and drivers supply text with NUL, control characters or terminal escapes, and of
any length. A Prefect server on Postgres refuses a state or an artifact with NUL. So every message, artifact, log line
and run name passes through this module.
"""

from collections.abc import Iterable, Sequence

VALUE_LIMIT = 80
"""Characters that a message shows of one value."""

NAMES_LIMIT = 20
"""Names that a message lists."""

MESSAGE_LIMIT = 8_000
"""Characters of a whole message."""

CUT = "…"


def printable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    r"""Make a message of one or several lines printable, and bound its length.

    Line feeds stay. Every other character that cannot be seen (control and format characters, surrogates, unassigned
    code points) becomes an escape such as `\x00`. A longer text keeps its beginning and its end, where messages say
    what to do next.

    Args:
        text: The message.
        limit: Most characters that the message may have.
    """
    lines = bounded(text, limit).split("\n")
    if all(line.isprintable() for line in lines):
        return bounded(text, limit)
    return bounded("\n".join(_escaped(line) for line in lines), limit)


def shown(value: bytes | str, limit: int = VALUE_LIMIT) -> str:
    r"""Write a value on one line, printable and short, without quotes: for names and addresses.

    Args:
        value: A text, or bytes, which are read as UTF-8; bytes that are not UTF-8 become escapes such as `\xff`.
        limit: Most characters; a longer value ends with an ellipsis.
    """
    # A character takes at most four bytes of UTF-8: more bytes than that are never shown.
    begin = value[: 4 * (limit + 1)]
    text = begin.decode(errors="backslashreplace") if isinstance(begin, bytes) else begin
    one_line = _escaped(text[: limit + 1])
    is_cut = len(one_line) > limit or len(begin) < len(value)
    return one_line[:limit] + CUT if is_cut else one_line


def quoted(value: bytes | str, limit: int = VALUE_LIMIT) -> str:
    """Write a value between quotes on one line, printable and short: for data that a message quotes.

    Args:
        value: As for `shown`.
        limit: As for `shown`.
    """
    text = shown(value, limit)
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{text}{quote}"


def listed(names: Iterable[bytes | str], most: int = NAMES_LIMIT) -> str:
    """List names between commas, each printable and short, and say how many more there are.

    Args:
        names: What to list.
        most: How many names are shown.
    """
    known: Sequence[bytes | str] = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(map(shown, known[:most])) + more


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Bound a text: a longer one keeps its beginning and its end, and says how much is left out.

    Args:
        text: Any text.
        limit: Most characters of the answer.
    """
    if len(text) <= limit:
        return text
    note = f" {CUT} ({len(text) - limit:,} and more characters left out) {CUT} "
    kept = max(limit - len(note), 0)
    end = kept // 4
    return (text[: kept - end] + note + text[len(text) - end :])[:limit]


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)
