"""Lists of words that the native code reads by itself. `WORDS` gives all other lists to Python's parser."""

import pytest
from copied_rows import parsed, parsed_by
from sample_dataset import words_of

from tasks.contracts import Column
from tasks.contracts.types import ColumnType

NATIVE = ColumnType("text[]", "a list as Python prints it")
"""Without a callback: a text that the native code cannot read has no value."""

LAST_BEFORE_SURROGATES, FIRST_AFTER_SURROGATES = 0xD7FF, 0xE000
EDGES = (1, 0x7F, 0x80, 0x7FF, 0x800, LAST_BEFORE_SURROGATES, FIRST_AFTER_SURROGATES, 0xFFFF, 0x10000, 0x10FFFF)
"""Characters on either side of each change of the length in UTF-8, and on either side of the surrogates."""


def words(text: str) -> list[str | None] | None:
    """The words of a text between two other lists, which must not change."""
    before, found, after = parsed(NATIVE, "['before']", text, "['after']")
    assert (words_of(before), words_of(after)) == (["before"], ["after"])
    return None if found is None else words_of(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("['']", [""]),
        ('[""]', [""]),
        ("['a']", ["a"]),
        ("['a', 'b']", ["a", "b"]),
        ("['a','b']", ["a", "b"]),
        ("['a', \"b\",'', \"\"]", ["a", "b", "", ""]),
        ("""['"', "'"]""", ['"', "'"]),
        (r"""['\\', '\'', '\"', '\n', '\r', '\t']""", ["\\", "'", '"', "\n", "\r", "\t"]),
        (r"""["\\", "\'", "\"", "\n", "\r", "\t"]""", ["\\", "'", '"', "\n", "\r", "\t"]),
        (r"['a\tb\\c']", ["a\tb\\c"]),
        (r"['\x4a\x4A\u004a\u004A\U0000004a\U0000004A']", ["JJJJJJ"]),
        (r"['\x411\u00411\U000000411']", ["A1A1A1"]),
        ("['é日😀\x7f\x01']", ["é日😀\x7f\x01"]),
        ("['],[', ' , ']", ["],[", " , "]),
    ],
)
def test_list_as_python_prints_it_is_read(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("code", EDGES)
def test_escape_of_a_character_is_the_character(code: int) -> None:
    short = [f"\\x{code:02x}"] if code < 0x100 else []
    middle = [f"\\u{code:04x}"] if code < 0x10000 else []
    for escape in [*short, *middle, f"\\U{code:08x}"]:
        assert words(f"['<{escape}>', 'b']") == [f"<{chr(code)}>", "b"]


@pytest.mark.parametrize(
    "escape",
    [
        *("\\", "\\a", "\\0", "\\101", "\\N{DIGIT ONE}", "\\X41", "\\x", "\\x4", "\\x4g", "\\xg4", "\\u004", "\\u004g"),
        *("\\U0000004", "\\U0000004g", "\\x00", "\\u0000", "\\U00000000", "\\ud800", "\\udbff", "\\udc00", "\\udfff"),
        *("\\U0000d800", "\\U00110000", "\\U10000041", "\\Uffffffff", "\\\n"),
    ],
)
@pytest.mark.parametrize("end", ["']", "", "'"])
def test_other_escape_is_left_to_python(escape: str, end: str) -> None:
    assert words(f"['a{escape}{end}") is None


@pytest.mark.parametrize("text", ["['a', \"b\\n\", '\\x41']", "['\\u0041']", '["a",""]'])
def test_truncated_list_is_invalid(text: str) -> None:
    assert words(text) is not None
    assert {length: found for length in range(1, len(text)) if (found := words(text[:length])) is not None} == {}


@pytest.mark.parametrize(
    "text",
    [
        *("[ ]", "[]]", "[] ", " []", "]", "[[", "[,]", "['a',]", "['a', ]", "['a',  'b']", "['a' 'b']", "['a'; 'b']"),
        *("['a' ]", "['a']]", "['a'] ", "['a'],", "['a\"]", "[\"a']", "[a]", "[1]", "[None]", "['a', None]", "[['a']]"),
        *("('a')", "'a'", "{'a'}", "{a}", "{}", "{", "['a\nb']", "['a\rb']", '["a\nb"]', '["a\rb"]', "[b'a']"),
    ],
)
def test_other_notation_is_left_to_python(text: str) -> None:
    assert words(text) is None


def test_list_of_postgres_is_read_from_a_callback_alone() -> None:
    column = Column("x", NATIVE, "Any.", derive=lambda text: text)
    texts = ["{a,b}", "['a', 'b']", "{}", "[]", "{'a'}", "x", "{"]
    found = [None if value is None else words_of(value) for value in parsed_by(column, *texts)]
    assert found == [["a", "b"], ["a", "b"], [], [], ["'a'"], None, None]


@pytest.mark.parametrize("length", [1, 126, 127, 128, 255, 256, 65_535, 65_536])
def test_long_words_have_their_length(length: int) -> None:
    word = "é" * (length // 2) + "x" * (length % 2)
    assert words(f"['{word}', 'b']") == [word, "b"]
