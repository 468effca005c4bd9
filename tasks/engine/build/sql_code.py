"""The code of an SQL text: the text without its comments. A comment changes no row, so it must not cause a build."""

import re
from collections.abc import Iterator
from functools import lru_cache

# Identifiers may contain $, so `a$b$` begins no text in dollar quotes. `/*+` begins a hint for the planner.
_TOKENS = re.compile(
    r"(?P<line>--[^\n]*)|(?P<block>/\*(?!\+))|(?P<blank>[ \t\r\n\f\v]+)"
    r"|(?P<text>(?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)",
    re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")


@lru_cache(maxsize=1000)
def code_of(text: str) -> str:
    """Return an SQL text without comments. Everything in quotes remains, and so do the line ends."""
    return "".join(" " if kind == "block" else "" if kind == "line" else part for kind, part in _parts(text))


@lru_cache(maxsize=1000)
def statements_of(text: str, quoted: str | None = None) -> tuple[str, ...]:
    """Return the statements of an SQL text, with one blank in place of comments and of several blanks.

    Two texts with equal results mean the same to Postgres. The result is for comparisons: Postgres may refuse it.

    Args:
        text: The statements.
        quoted: Replaces each text and each name in quotes, so that a word inside it is not read as SQL.
    """
    found: list[list[str]] = [[]]
    for kind, part in _parts(text):
        if kind == "text":
            found[-1].append(part if quoted is None else quoted)
        elif kind != "code":
            found[-1] += [] if found[-1][-1:] == [" "] else [" "]
        else:
            first, *others = part.split(";")
            found[-1].append(first)
            found += [[other] for other in others]
    statements = ("".join(parts).strip(" ") for parts in found)
    return tuple(statement for statement in statements if statement)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the comments, the blanks, everything in quotes, and the other code of an SQL text, with their kinds."""
    place = 0
    while token := _TOKENS.search(text, place):
        if token.start() > place:
            yield "code", text[place : token.start()]
        kind = next(each for each in ("line", "block", "blank", "text") if token[each] is not None)
        place = _end_of_block(text, token.end()) if kind == "block" else token.end()
        yield kind, text[token.start() : place]
    if place < len(text):
        yield "code", text[place:]


def _end_of_block(text: str, place: int) -> int:
    """Return the end of a block comment, which may contain other block comments."""
    depth = 1
    for mark in _BLOCK.finditer(text, place):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(text)
