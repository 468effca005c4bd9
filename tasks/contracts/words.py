"""The column type text[]: a Python-style list of words, `['a', "b, c"]`."""

import ast
import warnings

from tasks.contracts.types import ColumnType

LONGEST = 100_000
"""Characters of a list that Python's parser reads: its syntax tree takes some hundred times as much memory. A list as
Python prints it does not need the parser, and may have any length."""


def python_words(text: str) -> str | None:
    """Rewrite a list of words as Python prints it; None if the text is not a list of words."""
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes, which the data may contain
            value = ast.literal_eval(text)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            return None
        "".join(value).encode()  # an escape can spell half a character, which has no UTF-8
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if any("\0" in word for word in value) else repr(value)


WORDS = ColumnType("text[]", "a list of words such as ['a', 'b']", derive_unclear=python_words)
