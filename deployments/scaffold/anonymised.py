"""A small sample for the tests, in the format of the file, in which personal data and free texts are made up."""

import csv
import hashlib
import io
import random
from collections.abc import Sequence

from tasks.contracts.formats import Csv, FixedWidth
from tasks.engine.samples.columns import ColumnProfile
from tasks.engine.samples.profile import SampleProfile

ROWS = 40
"""Number of rows of the sample of the tests."""

_UPPER, _LOWER, _DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "123456789"


def is_private(column: ColumnProfile) -> bool:
    """Whether the values of a column are replaced: personal data, and texts that hardly repeat."""
    is_free_text = column.kind.name == "text" and column.longest > 20 and column.distinct_count > column.row_count / 2
    return column.is_sensitive or is_free_text


def disguised(column: ColumnProfile, text: str) -> str:
    """Replace a value by a made-up value of the same type. Equal values stay equal."""
    if text in column.nulls or not text:
        return text
    kind, rng = column.kind.name, random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 - not a secret
    if kind == "inet":
        return f"192.0.2.{rng.randrange(1, 255)}"
    if kind == "uuid":
        return "".join(rng.choice("0123456789abcdef") if one != "-" else one for one in text)
    if kind not in ("text", "integer", "bigint", "numeric", "smallint", "text[]"):
        return text
    return "".join(_other(one, rng) for one in text)


def _other(character: str, rng: random.Random) -> str:
    if character.isdigit():
        return rng.choice(_DIGITS) if character != "0" else "0"
    if character.isalpha():
        return rng.choice(_UPPER if character.isupper() else _LOWER)
    return character


def csv_sample(profile: SampleProfile, form: Csv, rows: Sequence[Sequence[str | None]]) -> bytes:
    """Write rows in the dialect of the file. Lines before the header are made up.

    Args:
        profile: The profile of the file.
        form: The dialect.
        rows: The texts of all fields.
    """
    out = io.StringIO(newline="")
    preamble = form.skip_lines - (1 if form.names and profile.dialect and profile.dialect.header else 0)
    out.write("preamble\n" * preamble)
    writer = csv.writer(
        out,
        delimiter=form.delimiter,
        quotechar=form.quote or None,
        escapechar=form.escape or None,
        doublequote=not form.escape,
        quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
        lineterminator="\n",
    )
    if profile.dialect and profile.dialect.header:
        writer.writerow(profile.dialect.header)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return out.getvalue().encode(form.encoding)


def fixed_width_sample(form: FixedWidth, rows: Sequence[Sequence[str | None]]) -> bytes:
    """Write rows in the layout of the file. Lines before the first record are made up."""
    lines = ["preamble"] * form.skip_lines
    for row in rows:
        values = [value or "" for value in row]
        fields = (value.rjust(width) for (_, _, width), value in zip(form.fields[:-1], values, strict=False))
        lines.append(f"{''.join(fields)} {values[-1]}")  # the last field is far wider than its values
    return "".join(f"{line}\n" for line in lines).encode(form.encoding)
