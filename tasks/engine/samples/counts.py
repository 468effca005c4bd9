"""Counts of seconds or milliseconds since 1970 among the numbers of a sample."""

import re
from collections.abc import Iterator, Sequence

import polars as pl

from tasks.contracts.spelling import EPOCHS
from tasks.engine.samples.values import Kind

FIRST_SECOND, LAST_SECOND = 946_684_800, 4_102_444_800
"""The first second of the years 2000 and 2100. A count of a moment lies between them."""

_COUNTED = ("integer", "bigint", "numeric")
_MOMENTS = re.compile(
    r"(^|_)(ts|time|timestamp|datetime|moment|epoch|unixtime|created|updated|modified|changed|deleted|expires|expired"
    r"|started|ended|received|sent|at|since|until)(_(ts|time|utc|gmt|at|on|seconds|secs?|s|milliseconds|millis|ms))?$"
)


def moments_of(name: str, values: pl.Series, kinds: Sequence[Kind]) -> Iterator[Kind]:
    """Yield the type of moments, or a number with a note, for numbers that may count seconds or milliseconds.

    The values alone do not decide, because identifiers may have the same number of digits. So the name of the column
    must say that its values are moments.

    Args:
        name: Name of the column in the table.
        values: The distinct values, without missing ones.
        kinds: The types that all values have.
    """
    if not len(values) or not kinds or kinds[0].name not in _COUNTED or kinds[0].spelling:
        return
    numbers = values.str.strip_chars(" ").cast(pl.Float64, strict=False)
    for epoch, factor in zip(EPOCHS, (1, 1000), strict=True):
        if not numbers.is_between(FIRST_SECOND * factor, LAST_SECOND * factor, closed="left").all():
            continue
        if _MOMENTS.search(name):
            note = f"All values are {epoch} of the years 2000 to 2099, and the name says that they are moments."
            yield Kind("timestamptz", (("timestamp", epoch),), note)
        elif kinds[0].name != "numeric":
            spelling = f'type TIMESTAMPTZ with spelling=Spelling(timestamp="{epoch}")'
            yield Kind(kinds[0].name, (), f"The values may be {epoch}. If the supplier says so, write {spelling}.")
