"""The profile of a sample as text."""

from collections.abc import Iterator

from tasks.contracts.formats import spelled
from tasks.engine.quoting import shown
from tasks.engine.samples.profile import SampleProfile

WIDTH = 24
"""Maximum number of characters of a cell."""


def profile_text(profile: SampleProfile) -> str:
    """Describe a sample for a terminal or a notebook."""
    return "\n".join(_lines(profile))


def _lines(profile: SampleProfile) -> Iterator[str]:
    part = "all" if profile.is_whole else "the first"
    yield f"{profile.uri}: {part} {profile.row_count:,} rows, {profile.size_bytes:,} bytes"
    yield f"format: {spelled(profile.declared_format)}" + (f", {profile.compression}" if profile.compression else "")
    if profile.dialect and not profile.dialect.header:
        yield "header: none; the names of the columns are made up"
    if profile.records_key:
        yield f"records: {profile.records_key}"
    if profile.file_nulls:
        yield f"null markers: {', '.join(map(repr, profile.file_nulls))}"
    yield f"key: {'; '.join(', '.join(group) for group in profile.keys[:3]) or 'no columns differ in all rows'}"
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
