"""Names of columns and pipelines that SQL takes without quotation marks."""

import re
import unicodedata
from collections.abc import Collection, Iterable

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from tasks.contracts import LINE_NUMBER, LOAD_COLUMNS, LOAD_ID

MAX_LENGTH = 50
"""Maximum length of a proposed name. Postgres cuts names after 63 bytes, and names of constraints contain them."""

PREFIX = "delivered_"
"""Precedes a name that SQL or Tally uses for something else."""

SYSTEM_COLUMNS = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax", "oid")
_RESERVED = frozenset(RESERVED_WORDS) | {"authorization", "binary", "collation", "concurrently", "cross", "freeze"}
_RESERVED |= {"full", "ilike", "inner", "is", "isnull", "join", "left", "like", "natural", "notnull", "outer"}
_RESERVED |= {"overlaps", "right", "similar", "tablesample", "verbose", "lateral", "system_user", "values", "row"}
_RESERVED |= {"interval", "time", "timestamp", "precision"}  # a type name before a string is a literal
_LETTERS = str.maketrans(
    {letter: f"{base}e" for letter, base in zip("äöüøæœ", "aouoao", strict=True)} | {"ß": "ss", "å": "aa", "ł": "l"}
)
_SIGNS = {"%": " pct ", "#": " number ", "€": " eur ", "$": " usd ", "£": " gbp ", "°": " degree ", "&": " and "}


def is_identifier(name: str) -> bool:
    """Whether SQL takes a name without quotation marks, and Python takes it as the name of a module."""
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*", name)) and len(name) <= MAX_LENGTH and name not in _RESERVED


def identifier_of(text: str, taken: Collection[str] = ()) -> str:
    """Return a name in snake case for a text: `Dep. Delay (min)` becomes `dep_delay_min`.

    Args:
        text: The text, such as the name of a column in a file.
        taken: Names that the result must differ from.
    """
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text).casefold().translate(_LETTERS)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", text).strip("_")[:MAX_LENGTH].strip("_") or "column"
    if not name[0].isalpha() or name in _RESERVED:
        name = f"{PREFIX}{name}"[:MAX_LENGTH]
    return _unique(name, taken)


def column_names(sources: Iterable[str], also_taken: Collection[str] = ()) -> list[str]:
    """Return a different name for each column of a file, none of which is a name of Tally's own columns.

    Args:
        sources: Names of the columns in the file.
        also_taken: Further names that Tally uses in the table, such as the partition's column.
    """
    own = {LOAD_ID, LINE_NUMBER, *LOAD_COLUMNS, *SYSTEM_COLUMNS, *also_taken}
    found: list[str] = []
    for source in sources:
        name = identifier_of(source or "unnamed")
        name = f"{PREFIX}{name}"[:MAX_LENGTH] if name in own else name
        found.append(_unique(name, found))
    return found


def _unique(name: str, taken: Collection[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        suffix = f"_{number}"
        found = name[: MAX_LENGTH - len(suffix)] + suffix
    return found
