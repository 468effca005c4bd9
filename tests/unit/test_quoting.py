import pickle

import pytest

from tasks.engine.errors import ContractError, TallyError
from tasks.engine.quoting import CUT, MESSAGE_LIMIT, bounded, listed, printable, quoted, shown

INVISIBLE = [chr(code) for code in (0, 1, 7, 8, 9, 11, 13, 27, 127, 0x80, 0x9F, 0xAD, 0x200B, 0x202E, 0x2066, 0x2028)]
INVISIBLE += [chr(0xFEFF), chr(0xFFFF), chr(0xE0001), "\ud800", "\udcff"]


@pytest.mark.parametrize("character", INVISIBLE)
def test_invisible_character_becomes_an_escape(character: str) -> None:
    for text in (printable(f"a{character}b"), shown(f"a{character}b"), quoted(f"a{character}b")):
        assert text.isprintable()
        assert text.encode()
        assert "\\" in text
        assert text.strip("\"'")[0] + text.strip("\"'")[-1] == "ab"


def test_message_keeps_its_lines_and_a_value_has_one_line() -> None:
    assert printable("a\nb") == "a\nb"
    assert shown("a\nb") == r"a\nb"
    assert quoted(b"a\r\n") == r"'a\r\n'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"0,3", "'0,3'"),
        ("0,3", "'0,3'"),
        (b"", "''"),
        (b'{"a":1}', "'{\"a\":1}'"),
        (b"it's", '"it\'s"'),
        (b'"it\'s"', "'\"it's\"'"),
        (b"\xff\xfeM", r"'\xff\xfeM'"),
        ("Perú 🙂".encode(), "'Perú 🙂'"),
        (b"\x1f\x8b\x08\x00", r"'\x1f\x8b\x08\x00'"),
    ],
)
def test_value_is_quoted_without_a_python_literal(value: bytes | str, text: str) -> None:
    assert quoted(value) == text


@pytest.mark.parametrize("length", [79, 80, 81, 82, 10_000_000])
@pytest.mark.parametrize("character", ["a", "é", "🙂", "\0"])
def test_value_is_short(length: int, character: str) -> None:
    for value in (character * length, (character * length).encode()):
        text = shown(value)
        assert len(text) <= 81
        assert text.endswith(CUT) == (length > 80 or character == "\0")


def test_bytes_that_are_cut_inside_a_character_are_not_shown_as_broken() -> None:
    assert shown("é" * 300, limit=80) == "é" * 80 + CUT
    assert shown("🙂" * 300, limit=3) == "🙂" * 3 + CUT
    assert shown(("a" + "🙂" * 300).encode(), limit=3) == "a🙂🙂" + CUT


def test_long_list_says_how_many_more() -> None:
    assert listed([]) == ""
    assert listed(["a", "b\0"]) == r"a, b\x00"
    assert listed(map(str, range(21))).endswith("18, 19 and 1 more")
    assert len(listed(["x" * 1_000_000] * 10_000)) < 2_000


@pytest.mark.parametrize("length", [MESSAGE_LIMIT - 1, MESSAGE_LIMIT])
def test_message_of_the_limit_stays_whole(length: int) -> None:
    assert printable("m" * length) == "m" * length


@pytest.mark.parametrize("filler", ["x", "\0", "\n", "é"])
def test_long_message_keeps_its_beginning_and_its_end(filler: str) -> None:
    text = printable("begin " + filler * 9_000_000 + " do this next")
    assert len(text) <= MESSAGE_LIMIT
    assert text.startswith("begin ")
    assert text.endswith(" do this next")
    assert "left out" in text


def test_small_limit_bounds_as_well() -> None:
    assert len(bounded("x" * 100, 10)) == 10


def test_every_error_of_tally_is_printable_and_bounded() -> None:
    error = ContractError("missing \0\x1b[31m" + "\r" * 100_000 + "\nnext")
    assert len(str(error)) <= MESSAGE_LIMIT
    assert str(error).startswith(r"missing \x00\x1b[31m\r")
    assert str(error).endswith("\nnext")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this process has just written
    assert (type(again), str(again)) == (ContractError, str(error))
    assert str(TallyError()) == ""
