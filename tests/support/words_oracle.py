"""An independent reader of Python-style lists of words."""

import re

_WORD = re.compile(r"""'((?:[^'\\\r\n]|\\[^\r\n])*)'|"((?:[^"\\\r\n]|\\[^\r\n])*)\"""")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\\'\"abfnrtv]))")
_SIMPLE_ESCAPES = dict(zip("\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v", strict=True))


def parse_words(text: str | None) -> tuple[str, ...] | None:
    """Return the words of a Python-style list of strings, or None for an empty field.

    Raises:
        ValueError: It is no such list.
    """
    if not text:
        return None
    text = text.strip()
    if not (len(text) >= 2 and text[0] == "[" and text[-1] == "]"):
        raise ValueError(text)
    rest, words = text[1:-1].strip(), []
    while rest:
        match = _WORD.match(rest)
        if match is None:
            raise ValueError(text)
        words.append(_unescape(match[1] if match[1] is not None else match[2]))
        rest = rest[match.end() :].lstrip()
        if rest and not rest.startswith(","):
            raise ValueError(text)
        rest = rest[1:].lstrip()  # Python allows a comma after the last word
    return tuple(words)


def _unescape(word: str) -> str:
    """Resolve Python's escapes; a backslash before any other character is literal, as in Python."""

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(int(code, 16)) if code else _SIMPLE_ESCAPES[match[4]]

    resolved = _ESCAPE.sub(character, word)
    if "\x00" in resolved:
        raise ValueError(word)
    resolved.encode()  # half a surrogate pair is invalid: UnicodeEncodeError is a ValueError
    return resolved
