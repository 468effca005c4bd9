"""The profile of a sample: its format, columns, keys and partitions, its open questions, and all of them as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from tasks.contracts.formats import Format, format_code
from tasks.engine.quoting import shown
from tasks.engine.samples.columns import UNSURE_MARKERS, ColumnProfile
from tasks.engine.samples.dialects import Dialect
from tasks.engine.samples.partitions import KeyPattern

WIDTH = 24
"""Maximum number of characters of a cell in the text of a profile."""


@dataclass(frozen=True)
class Rejection:
    """Rows of the sample that the proposed contract rejects for one reason.

    Attributes:
        reason: The reason, as the ledger records it.
        count: Number of rows.
        lines: The first line numbers.
    """

    reason: str
    count: int
    lines: tuple[int, ...]


@dataclass(frozen=True)
class SampleProfile:
    """What a sample shows.

    Attributes:
        uri: Address or path of the file.
        size_bytes: Size of the file.
        suffix: Suffix of the file's name, without that of a compression.
        format: `.csv`, `.json`, `.ndjson` or `.parquet`.
        declared_format: The format with its dialect, as a contract declares it.
        compression: `gzip`, `zstd` or empty.
        dialect: How the fields of a text file are written; None for other formats.
        records_key: Key of the array with the records of a JSON document; empty if the document is the array.
        row_count: Number of rows that were read.
        is_whole: Whether every row of the file was read.
        columns: The columns that the contract takes.
        dropped: Columns of the file without a name and without a value.
        keys: Groups of columns whose values differ in all rows that were read, the best one first.
        pattern: The date in the name of the file.
        rejections: Rows that the proposed contract rejects.
        notes: What the sample leaves open, in plain English.
        texts: The texts of all rows that were read.
    """

    uri: str
    size_bytes: int
    suffix: str
    format: str
    declared_format: Format
    compression: str
    dialect: Dialect | None
    records_key: str
    row_count: int
    is_whole: bool
    columns: tuple[ColumnProfile, ...]
    dropped: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    pattern: KeyPattern
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    texts: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def is_key(self, names: Sequence[str]) -> bool:
        """Whether the values of some columns differ in all rows that were read."""
        places = [place for place, column in enumerate(self.columns) if column.name in names]
        return self.texts.select(pl.nth(*places)).n_unique() == len(self.texts)

    def column(self, name: str) -> ColumnProfile:
        """Return a column by its name in the table.

        Raises:
            KeyError: No column has this name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def file_nulls(self) -> tuple[str, ...]:
        """Texts that mean a missing value in all columns."""
        return file_nulls(self.columns)


def file_nulls(columns: Sequence[ColumnProfile]) -> tuple[str, ...]:
    """Null markers that no text of a column can be mistaken for."""
    found = {marker for column in columns for marker in column.nulls}
    return tuple(sorted(found - UNSURE_MARKERS))


def _lines(profile: SampleProfile) -> Iterator[str]:
    part = "all" if profile.is_whole else "the first"
    yield f"{profile.uri}: {part} {profile.row_count:,} rows, {profile.size_bytes:,} bytes"
    compression = f", {profile.compression}" if profile.compression else ""
    yield f"format: {format_code(profile.declared_format)}{compression}"
    if profile.dialect and not profile.dialect.header:
        yield "header: none; the names of the columns are made up"
    if profile.records_key:
        yield f"records: {profile.records_key}"
    if profile.file_nulls:
        yield f"null markers: {', '.join(map(repr, profile.file_nulls))}"
    keys = "; ".join(", ".join(group) for group in profile.keys[:3])
    yield f"key: {keys or 'no group of columns has different values in all rows'}"
    pattern = profile.pattern
    unit = f", one {pattern.unit} each" if pattern.unit else ""
    yield f"keys of the files: {pattern.prefix}{pattern.template}{unit}"
    yield ""
    header = ("column", "type", "nulls", "distinct", "smallest", "largest", "examples")
    rows = [header]
    for column in profile.columns:
        spelling = ", ".join(field if value is True else str(value) for field, value in column.kind.spelling)
        kind = f"{column.kind.name} ({spelling})" if spelling else column.kind.name
        examples = "hidden" if column.is_sensitive else ", ".join(column.examples)
        ends = ("hidden", "hidden") if column.is_sensitive else (column.smallest, column.largest)
        rows.append((column.name, kind, f"{column.null_count:,}", f"{column.distinct_count:,}", *ends, examples))
    cells = [[shown(cell, WIDTH * 2 if place == 6 else WIDTH) for place, cell in enumerate(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield from ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    notes = [
        *profile.notes,
        *pattern.notes,
        *(f"{column.name}: {note}" for column in profile.columns for note in column.notes),
    ]
    notes += [
        f"{each.count:,} rows would be rejected: {each.reason} (line {each.lines[0]})" for each in profile.rejections
    ]
    if notes:
        yield ""
        yield from (f"- {note}" for note in notes)
