"""Columns of a sample: what their values are, and the column of a contract that takes all of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from tasks.engine.quoting import quoted
from tasks.engine.samples.counts import moments_of
from tasks.engine.samples.values import (
    PERSONAL,
    Kind,
    is_email,
    kinds_of,
    looks_like_code,
    with_decimal_zero,
    without_markers,
)

EXAMPLES = 3
"""Number of examples of a column."""

FEW_EXCEPTIONS = 0.01
"""If at most this share of the distinct values lacks the type of all other values, the few values are suspicious."""

UNSURE_MARKERS = {
    "",
    "-",
    "--",
    "---",
    "?",
    ".",
    "..",
    "...",
    "*",
    "none",
    "None",
    "nil",
    "missing",
    "unknown",
    "Unknown",
    "na",
    "NIL",
    "UNKNOWN",
    "\u2013",
    "\u2014",
}
"""Null markers that are ordinary words or signs: they count only in the columns in which they occur."""


_USUAL = (
    r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$",
    r"^[+-]?[0-9]{1,3}(?:\.?[0-9]{3})*(?:,[0-9]+)?$",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}",
    r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}",
)
"""Numbers and dates, also in German spelling. If only a few values of a column are others, the contract shows these."""


@dataclass(frozen=True)
class ColumnProfile:
    """What a sample shows about one column.

    Attributes:
        source: Name of the column in the file.
        name: Name of the column in the table.
        kinds: Types that all values have, from the narrowest to text. The first one is proposed.
        nulls: Texts among the values that mean a missing value.
        row_count: Number of rows.
        null_count: Number of rows without a value, null markers included.
        distinct_count: Number of different values.
        examples: The most frequent values.
        smallest: The smallest value as text; empty if there is no value.
        largest: The largest value as text; empty if there is no value.
        longest: Number of characters of the longest value.
        digits: Largest number of digits before and after the decimal point of a number.
        is_sensitive: Whether the values may be personal data.
        keeps_markers: Whether texts that mean a missing value elsewhere in the file are values here.
        suspicious: Values without the type of nearly all other values, each with the number of its rows.
        notes: What the sample leaves open, in plain English.
    """

    source: str
    name: str
    kinds: tuple[Kind, ...]
    nulls: tuple[str, ...]
    row_count: int
    null_count: int
    distinct_count: int
    examples: tuple[str, ...] = ()
    smallest: str = ""
    largest: str = ""
    longest: int = 0
    digits: tuple[int, int] = (0, 0)
    is_sensitive: bool = False
    keeps_markers: bool = False
    suspicious: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def kind(self) -> Kind:
        """The proposed type."""
        return self.kinds[0]

    @property
    def is_unique(self) -> bool:
        """Whether each row has a value that no other row has."""
        return self.null_count == 0 and self.distinct_count == self.row_count > 1

    def widened(self) -> "ColumnProfile":
        """The same column with the next wider type."""
        return replace(self, kinds=self.kinds[1:]) if len(self.kinds) > 1 else self


def profile_column(source: str, name: str, texts: pl.Series, known: Sequence[Kind] = ()) -> ColumnProfile:
    """Describe the values of one column.

    Args:
        source: Name of the column in the file.
        name: Name of the column in the table.
        texts: The values of all rows as text.
        known: Types that the format itself declares, as parquet does; they replace those of the values.
    """
    counts = texts.drop_nulls().value_counts(sort=True, name="count of the texts")
    values = counts.to_series(0)
    kept, markers = without_markers(values)
    kinds = tuple(known) or tuple(_without_text(kinds_of(kept)))
    if known and known[0].name == "double precision":
        kinds = (*_whole_doubles(kept, has_missing=bool(markers or texts.null_count())), *kinds)
    kinds = (*moments_of(name, kept, kinds), *kinds)
    notes: list[str] = []
    suspicious: tuple[tuple[str, int], ...] = ()
    if looks_like_code(kept):
        kinds = ()
        notes.append("The digits have leading zeros, which a number would lose, so the column is text.")
    elif not kinds and len(kept) >= 20:
        suspicious = _exceptions(kept, counts)
        if suspicious:
            shown = ", ".join(quoted(value) for value, _ in suspicious[:EXAMPLES])
            notes.append(f"Nearly all values have one type, but these do not: {shown}. The column is text.")
    if known or (kinds and len(kept)):
        notes += [kind.note for kind in kinds[:1] if kind.note]
    else:
        markers = ()
    nulls = markers if kinds else ()
    missing = int(texts.is_in(list(nulls)).sum()) if nulls else 0
    present = kept if nulls else values
    if not len(present):
        notes.append("No row of the sample has a value, so the sample does not show the type.")
    return ColumnProfile(
        source,
        name,
        (*kinds, Kind("text")),
        nulls,
        len(texts),
        texts.null_count() + missing,
        len(present),
        tuple(value for value in counts.head(EXAMPLES + len(nulls)).to_series(0) if value not in nulls)[:EXAMPLES],
        *_range(present, kinds),
        _longest(present),
        _digits(present) if kinds and kinds[0].name in ("numeric", "integer", "bigint") else (0, 0),
        bool(PERSONAL.search(name)) or is_email(present),
        suspicious=suspicious,
        notes=tuple(notes),
    )


def with_file_nulls(column: ColumnProfile, texts: pl.Series, markers: Sequence[str]) -> ColumnProfile:
    """Describe a column of text in a file with null markers.

    In a column of codes of two capital letters, `NA` is a value: it may be Namibia.
    """
    values = texts.drop_nulls().unique()
    found = [marker for marker in markers if marker in values]
    if not found:
        return column
    others = values.filter(~values.is_in(found))
    if found == ["NA"] and len(others) > 20 and bool(others.str.contains(r"^[A-Z]{2}$").all()):
        note = "NA means a missing value in other columns. Here it is kept as a code of two letters, such as Namibia's."
        return replace(column, keeps_markers=True, notes=(*column.notes, note))
    missing = int(texts.is_in(found).sum())
    return replace(
        column,
        null_count=column.null_count + missing,
        distinct_count=len(others),
        examples=tuple(value for value in column.examples if value not in found),
        smallest=str(others.min() or ""),
        largest=str(others.max() or ""),
    )


def _whole_doubles(values: pl.Series, *, has_missing: bool) -> Iterator[Kind]:
    """Types of floats that are whole numbers. Pandas stores integers as floats only if a value is missing."""
    whole = list(with_decimal_zero(values))
    if whole and has_missing:
        yield from whole
    elif whole:
        note = "All values are whole numbers. If they count something, write type BIGINT with decimal_integers."
        yield Kind("double precision", (), note)


def _without_text(kinds: Iterable[Kind]) -> list[Kind]:
    return [kind for kind in kinds if kind.name != "text" or kind.note]


def _exceptions(kept: pl.Series, counts: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    """The values that keep a column from having a type, if there are only a few."""
    few = max(int(len(kept) * FEW_EXCEPTIONS), 1)
    for pattern in _USUAL:
        others = kept.filter(~kept.str.contains(pattern))
        if 0 < len(others) <= few:
            found = counts.filter(pl.nth(0).is_in(others.to_list())).head(20)
            return tuple((str(value), int(count)) for value, count in found.iter_rows())
    return ()


def _range(values: pl.Series, kinds: Sequence[Kind]) -> tuple[str, str]:
    if not len(values):
        return "", ""
    numbers = kinds and kinds[0].name in ("integer", "bigint", "numeric", "double precision")
    numbers = numbers and kinds[0].spelling in ((), (("decimal_integers", True),))
    order = values.cast(pl.Float64, strict=False) if numbers else values
    least, most = order.arg_min(), order.arg_max()
    return str(values[least or 0]), str(values[most or 0])


def _longest(values: pl.Series) -> int:
    return int(values.str.len_chars().max() or 0) if len(values) else 0  # type: ignore[arg-type]


def _digits(values: pl.Series) -> tuple[int, int]:
    parts = values.str.extract_groups(r"^[ +-]*([0-9]*)(?:[.,]([0-9]*))?")
    before, after = (parts.struct.field(name).str.len_chars().max() for name in ("1", "2"))
    return int(before or 0), int(after or 0)  # type: ignore[arg-type]
