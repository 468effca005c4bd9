"""The column type text[] for lists as Postgres and JSON write them: `{a,"b c",NULL}` and `["a", "b c", null]`."""

import msgspec

from tasks.contracts.spelt_types import BLANKS
from tasks.contracts.types import ColumnType

_decode = msgspec.json.Decoder(list[str | None]).decode


def array_literal(text: str) -> str | None:
    """Rewrite a JSON list of texts as Postgres writes it. A text in braces stays unchanged; any other text is None."""
    stripped = text.strip(BLANKS)
    if not stripped.startswith("["):
        return stripped if stripped.startswith("{") else None
    try:
        items = _decode(stripped)
        literal = "{" + ",".join(map(_element, items)) + "}"
        literal.encode()  # an escape can spell half a character, which has no UTF-8
    except ValueError:
        return None
    return literal


def _element(item: str | None) -> str:
    return "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


TEXT_ARRAY = ColumnType("text[]", 'a list of texts such as {a,"b c"} or ["a", "b c"]', array_literal)
"""Lists of texts as Postgres or JSON writes them. `tasks.contracts.words.WORDS` reads lists as Python prints them."""
