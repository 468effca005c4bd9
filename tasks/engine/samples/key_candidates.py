"""Key candidates: groups of columns whose values differ in all rows of a sample."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

import polars as pl

from tasks.engine.samples.columns import ColumnProfile

MOST = 8
"""Maximum number of columns that are combined with each other."""

LARGEST = 3
"""Maximum number of columns of a key."""

FIRST_ROWS = 10_000
"""Number of rows that are compared first. Most groups of columns have equal values among them."""

SHORTEST_SERIES = 20
"""From this number of rows on, dates that all differ are probably a series of days."""

_MOMENTS = ("date", "timestamp", "timestamptz")
_KEY_TYPES = ("smallint", "integer", "bigint", "text", "uuid", *_MOMENTS, "inet")
_NAMES = re.compile(r"(^|_)(id|key|code|uuid|guid|number|no|nr|symbol|iata|icao|isbn|sku|hash|url|faa|slug)(_|$)|_?id$")
_MEASURES = re.compile(
    r"price|amount|total|count|value|rate|gross|budget|votes|score|population|lat|lon|temp|wind|weight|length"
)


def key_candidates(columns: Sequence[ColumnProfile], frame: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield groups of columns without missing values whose values differ in all rows, the best one first.

    In a small sample, values may differ by chance, so measured numbers never count, and other numbers only together
    with a text or a date.

    Args:
        columns: The columns of the sample.
        frame: The texts of the columns, in the same order.
    """
    if len(frame) < 2:
        return
    alone = [place for place, column in enumerate(columns) if column.is_unique and rank(column) < 2]
    if alone:
        alone.sort(key=lambda place: (rank(columns[place]), columns[place].name != "id", place))
        yield from ((columns[place].name,) for place in alone)
        return
    parts = [place for place, column in enumerate(columns) if not column.null_count and may_identify(column)]
    parts.sort(key=lambda place: (rank(columns[place]), -columns[place].distinct_count))
    for size in range(2, LARGEST + 1):
        groups = sorted(
            combinations(parts[:MOST], size), key=lambda group: sum(rank(columns[place]) for place in group)
        )
        found = [group for group in groups if any(rank(columns[place]) < 2 for place in group) and is_key(frame, group)]
        if found:
            yield from (tuple(columns[place].name for place in sorted(group)) for group in found)
            return


def is_certain(columns: Sequence[ColumnProfile]) -> bool:
    """Whether the names and types of a group of columns say that it identifies a row, besides its values.

    A date may do so alone in a series of days, and together with a text. Records of other files may have equal
    moments, so a moment needs a column whose name says that it identifies something.
    """
    if len(columns) == 1:
        (column,) = columns
        is_series = column.kind.name == "date" and column.row_count >= SHORTEST_SERIES
        return bool(_NAMES.search(column.name)) or is_series
    moments = [column for column in columns if column.kind.name in _MOMENTS]
    others = [column for column in columns if column not in moments]
    if len(moments) != 1 or len(others) != 1:
        return False
    return rank(others[0]) < (2 if moments[0].kind.name == "date" else 1)


def is_key(frame: pl.DataFrame, places: Sequence[int]) -> bool:
    """Whether the values of some columns differ in all rows."""
    values = frame.select(pl.nth(*places))
    return all(rows.n_unique() == len(rows) for rows in (values.head(FIRST_ROWS), values))


def may_identify(column: ColumnProfile) -> bool:
    """Whether the values of a column can be a part of a key."""
    if column.kind.name not in _KEY_TYPES or column.is_sensitive or column.longest > 200:
        return False
    return bool(_NAMES.search(column.name)) or not _MEASURES.search(column.name)


def rank(column: ColumnProfile) -> int:
    """How well a column identifies rows: 0 by its name, 1 by its type, 2 hardly."""
    if not may_identify(column):
        return 2
    if _NAMES.search(column.name):
        return 0
    return 1 if column.kind.name in ("uuid", "text", *_MOMENTS) else 2
