"""Parsers of column types at their limits. The tests of the loader cover the round trip through Postgres."""

import ast
import ipaddress
import re
import uuid
import warnings
from datetime import UTC, date, datetime

import pytest
from copied_rows import parsed, parsed_by
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st
from sample_dataset import words_of
from words_oracle import parse_words

from tasks.contracts import Column
from tasks.contracts.types import DATE, INET, TEXT, TIMESTAMPTZ, UUID, ColumnType
from tasks.contracts.words import WORDS

A_UUID = "123e4567-e89b-12d3-a456-426614174000"
FAST = examples(200)


@pytest.mark.parametrize("type_", [TEXT, UUID, DATE, TIMESTAMPTZ, INET, WORDS])
@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_empty_columns_and_nulls_are_parsed_unchanged(type_: ColumnType, values: list[None]) -> None:
    assert parsed(type_, *values) == values


@pytest.mark.parametrize("type_", [UUID, DATE, TIMESTAMPTZ, INET, WORDS])
def test_empty_string_is_valid_only_for_text(type_: ColumnType) -> None:
    assert parsed(type_, "") == parsed(type_, " ") == [None]
    assert parsed(TEXT, "", " ") == ["", " "]


@pytest.mark.parametrize("text", ["a\0b", "\0"])
def test_text_with_a_nul_is_rejected(text: str) -> None:
    assert parsed(TEXT, text) == [None]


def test_uuid_is_accepted_in_either_case_with_braces_and_without_hyphens() -> None:
    texts = [A_UUID, A_UUID.upper(), A_UUID.replace("-", ""), f"{{{A_UUID}}}", A_UUID.replace("e89b-", "e89b")]
    assert parsed(UUID, *texts) == [uuid.UUID(A_UUID).bytes] * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "{" + A_UUID, A_UUID + "}", "{}", "{", f"{{{{{A_UUID}}}}}", A_UUID + "-",
        f"urn:uuid:{A_UUID}", A_UUID[:-1], A_UUID + "0", A_UUID + "\n",
        " " + A_UUID, A_UUID.replace("e", "g"), A_UUID.replace("1", "\u0661"), A_UUID.replace("e89b-", "e89-b"),
    ],
)  # fmt: skip
def test_uuid_of_another_spelling_is_refused(text: str) -> None:
    assert parsed(UUID, text) == [None]


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "2020-02-29", "2000-02-29", "0999-10-09"])
def test_date_is_accepted_with_blanks_around_it_too(text: str) -> None:
    assert parsed(DATE, text, f" {text}", f"{text}\n") == [date.fromisoformat(text)] * 3


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01", "10000-01-01", "2021-02-29", "1900-02-29", "2021-04-31", "2021-13-01", "2021-00-01",
        "2021-04-00",
        "2021-4-1", "21-04-01", "2021/04/01", "20210401", "2021-W14-1", "2021-04-01\0", "2021 -04-01",
        "\u00a02021-04-01",
        "-2021-04-01", "+2021-04-01", "202\u0661-04-01", "2021-04-01T00:00:00", "01.04.2021", "infinity", "epoch",
    ],
)  # fmt: skip
def test_date_of_another_spelling_is_refused(text: str) -> None:
    assert parsed(DATE, text) == [None]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2021-04-01", datetime(2021, 4, 1, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("0001-01-01T00:00:00-01:00", datetime(1, 1, 1, 1, tzinfo=UTC)),
        ("2021-04-01T10:20:30", datetime(2021, 4, 1, 10, 20, 30, tzinfo=UTC)),
        ("2021-04-01 10:20:30", datetime(2021, 4, 1, 10, 20, 30, tzinfo=UTC)),
        ("2021-04-01T10:20:30.5", datetime(2021, 4, 1, 10, 20, 30, 500_000, UTC)),
        ("2021-04-01T10:20:30.123456+00:00", datetime(2021, 4, 1, 10, 20, 30, 123_456, UTC)),
        ("2021-04-01T00:30:00+02:00", datetime(2021, 3, 31, 22, 30, tzinfo=UTC)),
        ("2021-04-01 00:30:00+0200", datetime(2021, 3, 31, 22, 30, tzinfo=UTC)),
        ("2021-04-01T23:30:00-05:45", datetime(2021, 4, 2, 5, 15, tzinfo=UTC)),
        ("2021-04-01T12:00:00+15:59", datetime(2021, 3, 31, 20, 1, tzinfo=UTC)),
        ("2021-04-01T10:20", datetime(2021, 4, 1, 10, 20, tzinfo=UTC)),
        ("2021-04-01T10:20Z", datetime(2021, 4, 1, 10, 20, tzinfo=UTC)),
        ("2021-04-01T10:20+05:30", datetime(2021, 4, 1, 4, 50, tzinfo=UTC)),
        ("2021-04-01 10:00:00+00", datetime(2021, 4, 1, 10, tzinfo=UTC)),
        ("2021-04-01T10:00:00-03", datetime(2021, 4, 1, 13, tzinfo=UTC)),
        ("2021-04-01t10:20:30z", datetime(2021, 4, 1, 10, 20, 30, tzinfo=UTC)),
        ("2021-04-01T24:00:00", datetime(2021, 4, 2, tzinfo=UTC)),
        ("2021-04-01T23:59:60", datetime(2021, 4, 2, tzinfo=UTC)),
        ("2021-04-01T10:20:30.1234567", datetime(2021, 4, 1, 10, 20, 30, 123_456, UTC)),
        ("2021-04-01T10:20:30.123456999Z", datetime(2021, 4, 1, 10, 20, 30, 123_456, UTC)),
        ("2021-04-01T10:20:30,5+02", datetime(2021, 4, 1, 8, 20, 30, 500_000, UTC)),
        ("2021-04-01  10:20:30 +02:00", datetime(2021, 4, 1, 8, 20, 30, tzinfo=UTC)),
        ("2021-04-01 10:20:30 UTC", datetime(2021, 4, 1, 10, 20, 30, tzinfo=UTC)),
        ("2021-04-01T10:20:30+02:00\n", datetime(2021, 4, 1, 8, 20, 30, tzinfo=UTC)),
        ("2021-04-01T10:20:30+00:09:21", datetime(2021, 4, 1, 10, 11, 9, tzinfo=UTC)),
    ],
)
def test_timestamp_is_an_instant_and_its_date_is_the_one_written(text: str, instant: datetime) -> None:
    assert parsed(TIMESTAMPTZ, text) == [instant]
    assert parsed_by(Column("day", DATE, "Its date.", source="x", first=10), text) == [date.fromisoformat(text[:10])]


@pytest.mark.parametrize("blanks", [*" \t\n\v\f\r", " \r\n"])
def test_leading_blanks_do_not_change_the_date_of_a_time(blanks: str) -> None:
    column = Column("day", DATE, "Its date.", source="x", first=10)
    assert parsed_by(column, f"{blanks}2021-04-12T10:00") == [date(2021, 4, 12)]


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",  # not in the years 1 to 9999 of UTC
        "2021-04-01T24:00:01", "2021-04-01T24:00:00.1", "2021-04-01T24:00:00.0000001", "2021-04-01T25:00",
        "2021-04-01T23:60:00", "2021-04-01T23:59:61", "2021-04-01T10", "2021-04-01T10:2", "2021-04-01T", "2021-04-01 x",
        "2021-04-01T10:20:30.", "2021-04-01T10:20:3", "2021-04-01T10:20:", "2021-04-01T10:20.5", "9999-12-31T24:00",
        "2021-04-01T10:20:30+", "2021-04-01T10:20:30+16:00", "2021-04-01T10:20:30+02:60", "2021-04-01T10:20:30+1:",
        "2021-04-01T10:20:30+02:00:60", "2021-04-01T10:20:30+02:00:0", "2021-04-01T10:20:30+020000",
        "2021-04-01T10:20:30+0200:00", "2021-04-01T10:20:30+00200", "2021-04-01T10:20:30Z+02",
        "2021-02-29T10:20:30", "2021-02-29T10:20:30Z", "2021-04-01T10:20:30 CET", "1617235200",
        "2021-04-01T1\u0660:20:30", "2021-04-01\n10:20:30", "2021-04-01T10:20:30\0", "yesterday",
        "infinity", "2021-04-31T10:20:30",
    ],
)  # fmt: skip
def test_timestamp_of_another_spelling_is_refused(text: str) -> None:
    assert parsed(TIMESTAMPTZ, text) == [None]


@pytest.mark.slow
@FAST
@given(st.datetimes(timezones=st.timezones(no_cache=True) | st.just(UTC)), st.sampled_from("T "))
def test_timestamp_of_any_zone_is_its_instant(moment: datetime, separator: str) -> None:
    text = moment.isoformat(separator)
    offset = moment.utcoffset()
    if offset is None or offset.total_seconds() % 60 or abs(offset.total_seconds()) >= 16 * 3600:
        return
    try:
        expected = [moment.astimezone(UTC)]
    except OverflowError:
        assert parsed(TIMESTAMPTZ, text) == [None]
    else:
        assert parsed(TIMESTAMPTZ, text) == expected


def wire(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return bytes([2, 32, 0, 4] if address.version == 4 else [3, 128, 0, 16]) + address.packed


@pytest.mark.slow
@FAST
@given(st.lists(st.ip_addresses().map(str) | st.none(), max_size=30))
def test_addresses_have_their_binary_form_next_to_any_value(texts: list[str | None]) -> None:
    assert parsed(INET, *texts) == [wire(text) if text else None for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.1", "255.255.255.255", "::", "::1", "2001:DB8::A", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8",
        "64:ff9b::192.0.2.33",
    ],
)  # fmt: skip
def test_address_is_accepted(text: str) -> None:
    assert parsed(INET, text) == [wire(text)]


def test_address_may_have_a_netmask() -> None:
    masked = [bytes([2, 24, 0, 4, 1, 2, 3, 4]), bytes([2, 8, 0, 4, 10, 0, 0, 0]), bytes([3, 64, 0, 16, *[0] * 15, 1])]
    assert parsed(INET, "1.2.3.4/24", "10/8", "::1/64", "1.2.3.4/0") == [*masked, bytes([2, 0, 0, 4, 1, 2, 3, 4])]


@pytest.mark.parametrize(
    "text",
    [
        "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4/33",
        "1.2.3.4/", "1.2.3.4/024", "1.2/24", "1.2.3.4//24", "/24", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n",
        "1.2.3.-4",
        "1.2.3.\u0664", "\u0662\u0660.2.3.4", "0x1.2.3.4", "16909060", "fe80::1%eth0", "fe80::1%", "::1/129",
        "::1/", "::/ 1",
        "[::1]", ":::", "1::2::3",
        "::g", "1:2:3:4:5:6:7", "localhost", "1.2.3.4:80",
    ],
)  # fmt: skip
def test_address_of_another_spelling_is_refused_and_spares_its_neighbours(text: str) -> None:
    assert parsed(INET, "1.2.3.4", text, "::1", None) == [wire("1.2.3.4"), None, wire("::1"), None]


word = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
tricky = st.sampled_from(
    [",", ", ", "','", "', '", "'", '"', "\\", "\n", "\\n", "[", "]", "", " ", "a, b", "it's", "\x7f"]
)


@pytest.mark.slow
@FAST
@given(st.lists(st.lists(word | tricky, max_size=5), max_size=8))
def test_list_as_python_writes_it_is_read_back(lists: list[list[str]]) -> None:
    assert [words_of(value) for value in parsed(WORDS, *map(repr, lists))] == lists


@pytest.mark.slow
@FAST
@given(st.lists(word | tricky, min_size=1, max_size=5), st.sampled_from([",", ", ", " , ", ",  "]))
def test_list_is_parsed_with_any_separator(words: list[str], separator: str) -> None:
    text = "[" + separator.join(map(repr, words)) + "]"
    assert [words_of(value) for value in parsed(WORDS, text)] == [words]


@FAST
@given(st.text(st.sampled_from("[]'\",\\ abn\nx41u'',,"), max_size=12).map(lambda inner: f"[{inner}]"))
def test_list_is_read_as_the_oracle_reads_it(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            python = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            python = None
    try:
        expected = list(parse_words(text) or ())
    except ValueError:
        # The oracle knows no words side by side, no prefixes of words and no nested brackets.
        expected = None
        if isinstance(python, list) and all(isinstance(part, str) for part in python):
            return
    if re.search(r"\\[0-7xuUN]", text):  # the oracle does not know every escape with digits
        is_list = isinstance(python, list) and all(isinstance(part, str) for part in python)
        expected = python if is_list else None
    assert [None if value is None else words_of(value) for value in parsed(WORDS, text)] == [expected]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", []), ("[ ]", []), ("['a']", ["a"]), ('["a", \'b\']', ["a", "b"]), ("['a',]", ["a"]),
        ("['a', ',', 'b']", ["a", ",", "b"]), ("['', '', '']", ["", "", ""]), (r"['it\'s']", ["it's"]),
        (r"['\x41\u00e9\U0001f600']", ["Aé\U0001f600"]), (r"['\d']", [r"\d"]), ("['Côte']", ["Côte"]),
    ],
)  # fmt: skip
def test_list_of_words_is_accepted(text: str, words: list[str]) -> None:
    (value,) = parsed(WORDS, text)
    assert words_of(value) == words


@pytest.mark.parametrize(
    "text",
    [
        "[]x", "[a]", "[1]", "['a', None]", "[['a']]", "('a', 'b')", "{'a'}", "'a'", "['a'", "'a']", "['a' , b]",
        "['a\nb']", '["a\nb"]', r"['\ud800']", r"['\x00']", "[b'a']", "[f'a']", "['a'] + ['b']", "[" * 500,
        "[,]", "null", "None",
    ],
)  # fmt: skip
def test_invalid_list_of_words_is_rejected(text: str) -> None:
    assert parsed(WORDS, text) == [None]


@pytest.mark.parametrize("length", [126, 127, 128, 129, 40_000])
def test_long_words_and_lists_are_encoded_next_to_short_ones(length: int) -> None:
    lists = [["a"], ["é" * length, "b"], [], ["x"] * length, ["c", "d" * length]]
    assert [words_of(value) for value in parsed(WORDS, *map(repr, lists))] == lists
