"""Markdown tables for artifacts and pages. The Prefect UI breaks no line of a cell, so wide tables contain breaks."""

import re
import textwrap
from collections.abc import Sequence

from tasks.engine.quoting import shown

CELL_LIMIT = 1_000
"""Maximum number of characters in a table cell."""

LINE_BREAK = "<br>"
"""A line break in a cell. A cell of data contains no such tag, because its punctuation is escaped."""

_ROW = 100
"""Characters of a row that fit the page of an artifact in a window of 1,280 pixels."""

_EDGES = 5
"""Characters of a row that the edges of a column take."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers get thousands separators, and long texts get line breaks."""
    texts = [[_text(value) for value in row] for row in rows]
    widths = _widths([header, *texts])
    names = (LINE_BREAK.join(_wrapped(*cell)) for cell in zip(header, widths, strict=True))
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(header)}"]
    lines += [
        f"| {' | '.join(LINE_BREAK.join(map(_escaped, _wrapped(*cell))) for cell in zip(row, widths, strict=True))} |"
        for row in texts
    ]
    return "\n".join(lines)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else shown(re.sub(r"[\r\n]+", " ", str(value)), CELL_LIMIT)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column, in characters: short columns keep theirs, and long columns share the rest of a row."""
    wanted = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths, rest = list(wanted), _ROW - _EDGES * len(wanted)
    for count, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        longest_word = max(len(word) for line in lines for word in (line[place].split() or [""]))
        widths[place] = max(min(wanted[place], rest // (len(wanted) - count)), longest_word)
        rest -= widths[place]
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text. A word, such as an address, is never divided, so that people can copy it."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) if len(text) > width else [text]


def _escaped(text: str) -> str:
    # A value must not act as markup: an asterisk is not emphasis, and an image link must not fetch a picture.
    # CommonMark allows a backslash before any ASCII punctuation.
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
