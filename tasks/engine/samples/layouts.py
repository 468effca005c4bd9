"""Layouts: recognise the fields of a file whose values are aligned in columns of characters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from tasks.contracts.formats import FixedWidth
from tasks.engine.samples.dialects import LINES, MAX_PREAMBLE, lines_of
from tasks.engine.samples.names import column_names

MIN_LINES = 3
"""Number of lines from which equal positions of blanks are no coincidence."""

_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*")

REST = 200
"""Width of the last field, so that it takes the rest of a longer line."""


@dataclass(frozen=True)
class Field:
    """The characters of one field.

    Attributes:
        begin: Position of its first character in the line, from 0.
        end: Position after its last character.
    """

    begin: int
    end: int


def layout_of(text: str, encoding: str) -> FixedWidth | None:
    """Recognise the layout of a file without delimiters.

    Blanks at the same positions of all lines separate the fields. The first line whose words match the fields names
    them.

    Args:
        text: The beginning of the file, which ends with a complete line.
        encoding: Encoding of the file.

    Returns:
        The layout. None if the lines have no common positions of blanks.
    """
    lines = lines_of(text)[:LINES]
    if "\t" in text or len(lines) < MIN_LINES:
        return None
    starts = range(min(MAX_PREAMBLE, len(lines) - MIN_LINES) + 1)
    first = max(starts, key=lambda place: (_score(lines[place:]), -place))
    fields = _fields(lines[first:])
    named = _named(lines[first], fields, lines[first + 1 :])
    names = named[0] if named else tuple(f"column_{place}" for place in range(1, len(fields) + 1))
    fields = named[1] if named else fields
    if len(fields) < 2:
        return None
    records = lines[first + bool(named) :]
    # A value may be longer in other lines. Blanks belong to the field that they fill up: to the field before an aligned
    # field, else to the field after them.
    ends = [
        after.begin if _begins_equally(after, records, lines[first] if named else "") else field.end
        for field, after in pairwise(fields)
    ]
    begins = [0, *ends]
    widths = [end - begin for begin, end in zip(begins, [*ends, begins[-1] + REST], strict=True)]
    skipped = first + bool(named)
    return FixedWidth(
        tuple((name, begin + 1, width) for name, begin, width in zip(names, begins, widths, strict=True)),
        skip_lines=skipped,
        encoding=encoding,
    )


def _begins_equally(field: Field, records: Sequence[str], header: str) -> bool:
    """Whether the values of a field are aligned on the left, and would not only be numbers of one width."""
    values = [line[field.begin : field.end] for line in records if line[field.begin : field.end].strip()]
    if any(value[:1].isspace() for value in values):
        return False
    words = {value.strip() for value in values}
    name = next((word for word in re.finditer(r"\S+", header) if word.start() == field.begin), None)
    return (
        len(set(map(len, words))) > 1
        or any(not _NUMBER.fullmatch(word) or re.match(r"0[0-9]", word) for word in words)
        or bool(name and name.end() != field.end)
    )


def _fields(lines: Sequence[str]) -> list[Field]:
    """The runs of characters that are not blank in some line."""
    kept = [line for line in lines if line.strip()]
    if len(kept) < MIN_LINES:
        return []
    width = max(map(len, kept))
    used = [any(line[place : place + 1].strip() for line in kept) for place in range(width)]
    ends = list(accumulate(len(list(group)) for _, group in groupby(used)))
    runs = zip([0, *ends], ends, strict=False)
    return [Field(begin, end) for begin, end in runs if used[begin]]


def _score(lines: Sequence[str]) -> int:
    """The number of fields that most lines have, less the number of those that only some lines have, such as titles."""
    fields = _fields(lines)
    kept = [line for line in lines if line.strip()]
    filled = [sum(bool(line[field.begin : field.end].strip()) for line in kept) for field in fields]
    return sum(1 if 2 * count >= len(kept) else -1 for count in filled)


def _named(header: str, fields: Sequence[Field], records: Sequence[str]) -> tuple[tuple[str, ...], list[Field]] | None:
    """The names in a header and the fields that they name, or None if the line is no header.

    A value may contain blanks: a field without a name belongs to the next field, or else to the previous one, if one
    blank separates them.
    """
    words = [Field(*word.span()) for word in re.finditer(r"\S+", header)]
    if any(re.match(r"[+-]?[0-9.]", header[word.begin :]) for word in words) or not any(records):
        return None
    merged: list[Field] = []
    begin: int | None = None
    for place, field in enumerate(fields):
        start = field.begin if begin is None else begin
        begin = None
        if any(word.begin < field.end and field.begin < word.end for word in words):
            merged.append(Field(start, field.end))
        elif place + 1 < len(fields) and fields[place + 1].begin - field.end == 1:
            begin = start
        elif merged and start - merged[-1].end == 1:
            merged[-1] = Field(merged[-1].begin, field.end)
        else:
            return None
    names = [
        " ".join(header[w.begin : w.end] for w in words if w.begin < field.end and field.begin < w.end)
        for field in merged
    ]
    if begin is not None or len(set(names)) != len(names):
        names = column_names(names)
    return tuple(names), merged
