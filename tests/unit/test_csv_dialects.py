"""CSV dialects, compared with a reader that processes one byte at a time and with Python's csv module."""

import csv
import io
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from example_counts import examples
from hypothesis import example, given
from hypothesis import strategies as st
from plain_csv import read_plain

from tasks.contracts.formats import Csv
from tasks.engine.formats import csv_records
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.csv_header import LONGEST_NAME, Header, read_header
from tasks.engine.formats.csv_records import CsvRecords, read_records
from tasks.engine.formats.frames import frame_of

DIALECTS = {
    "default": Csv(),
    "semicolon": Csv(delimiter=";"),
    "tab": Csv(delimiter="\t"),
    "unit separator": Csv(delimiter="\x01"),
    "apostrophes": Csv(delimiter="|", quote="'"),
    "no quotes": Csv(quote=""),
    "escape in quotes": Csv(escape="\\"),
    "escape everywhere": Csv(delimiter=";", escape="\\", escapes_unquoted=True),
    "text of postgres": Csv(delimiter="\t", quote="", escape="\\"),
    "comments": Csv(comment="#"),
    "long comments": Csv(delimiter=" ", comment="--", quote=""),
    "trailing delimiter": Csv(delimiter="|", trailing_delimiter=True),
    "everything": Csv(delimiter="|", quote="'", escape="^", comment="//", trailing_delimiter=True),
    "short records": Csv(short_records=True),
    "short records of postgres": Csv(delimiter="\t", quote="", escape="\\", short_records=True),
    "short records with a trailing delimiter": Csv(delimiter="|", trailing_delimiter=True, short_records=True),
}
LINES = [
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff",
    "é".encode(),
    "\U0001f600".encode(),
    b"a",
    b"b",
    b"n",
    b"N",
    b"0",
]


def columns_of(width: int) -> ColumnMatch:
    names = tuple(f"c{place}" for place in range(width))
    return ColumnMatch({name: place for place, name in enumerate(names)}, names, ())


def pieces_of(dialect: Csv) -> list[bytes]:
    """Return pieces of text, most of which are the characters of a dialect."""
    delimiter, quote, escape = (one.encode() for one in (dialect.delimiter, dialect.quote, dialect.escape))
    special = [delimiter, quote, quote * 2, escape, escape + quote, escape + b"\n", escape + b"\r\n"]
    special += [quote + delimiter + quote, delimiter + quote, quote + b"\n", dialect.comment.encode()]
    special += [dialect.comment[:1].encode(), b"\n" + dialect.comment.encode()]
    return [*LINES, *filter(None, special * 2)]


def outcomes(
    data: bytes, width: int, dialect: Csv, cuts: list[int]
) -> list[tuple[int, bytes, tuple[str | None, ...] | str]]:
    """Return the line number, the bytes, and the fields or the error of each record. Chunks end at the cuts."""
    found: list[tuple[int, bytes, tuple[str | None, ...] | str]] = []
    pending, line, begin = b"", 1, 0
    for cut in [*sorted(cuts), len(data)]:
        pending += data[begin:cut]
        begin = cut
        for records in read_records(pending, columns_of(width), line, dialect=dialect, is_last=cut == len(data)):
            valid = records.records_of(range(records.row_count))
            rows = frame_of(records.batch().strings).rows() if records.row_count else []
            found += [(number, raw, row) for (number, raw), row in zip(valid, rows, strict=True)]
            found += [(row.line_number, row.raw, row.reason) for row in records.rejected()]
            end, line = records.end, records.line
        pending = pending[end:]
        if cut == len(data):
            break
    assert pending == b""
    return sorted(found, key=lambda record: record[0])


def expected(data: bytes, width: int, dialect: Csv) -> list[tuple[int, bytes, tuple[str | None, ...] | str]]:
    found = read_plain(data, width, dialect=dialect)
    return [(one.line_number, one.raw, tuple(one.fields) if one.fields else one.reason or "") for one in found]


# One byte chooses each piece of the text, and one byte each cut: Hypothesis draws bytes much faster than lists.
@pytest.mark.slow
@pytest.mark.parametrize("name", DIALECTS)
@examples(450)
@given(
    width=st.integers(1, 3),
    chosen=st.binary(max_size=40) | st.binary(min_size=20, max_size=40),
    cut_at=st.binary(max_size=8),
    most_records=st.integers(1, 4),
    most_bytes=st.integers(1, 40),
)
def test_every_record_has_its_outcome_wherever_the_bytes_are_cut(
    name: str, width: int, chosen: bytes, cut_at: bytes, most_records: int, most_bytes: int
) -> None:
    dialect = DIALECTS[name]
    pieces = pieces_of(dialect)
    text = b"".join(pieces[number % len(pieces)] for number in chosen)
    cuts = [number % len(text) for number in cut_at if text]
    with patch.multiple(csv_records, MOST_RECORDS=most_records, MOST_BYTES=most_bytes):
        assert outcomes(text, width, dialect, cuts) == expected(text, width, dialect)


SAMPLES = {
    "semicolon": b'1;"a;""b"""\n;\n2;x\r\n"3\n4";y\n',
    "no quotes": b'1,"a\n"2",b\n',
    "escape in quotes": b'"a\\"b",C:\\new\n"c\\\\","d\\n"\n',
    "escape everywhere": b'a\\;b;"c\\"d"\ne\\\nf;g\\\\\n',
    "text of postgres": b"a\\tb\t\\N\n\\\\N\t\nc\\\nd\te\\nf\n",
    "comments": b'#x,y\n1,#2\n"\n#",3\n# end',
    "long comments": b"--x y\n- -\n1 --2\n",
    "trailing delimiter": b"1|2|\n3|4\n5|6|7\n8|9|\n",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_chunk_may_end_at_every_byte(name: str) -> None:
    data, dialect = SAMPLES[name], DIALECTS[name]
    whole = expected(data, 2, dialect)
    assert outcomes(data, 2, dialect, list(range(len(data)))) == whole
    for cut in range(len(data)):
        assert outcomes(data, 2, dialect, [cut]) == whole


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("semicolon", [("1", 'a;"b"'), (None, None), ("2", "x"), ("3\n4", "y")]),
        ("no quotes", [("1", '"a'), ('"2"', "b")]),
        ("escape in quotes", [('a"b', "C:\\new"), ("c\\", "d\\n")]),
        ("escape everywhere", [("a;b", 'c"d'), ("e\nf", "g\\")]),
        ("text of postgres", [("a\tb", None), ("\\N", ""), ("c\nd", "e\nf")]),
        ("comments", [("1", "#2"), ("\n#", "3")]),
        ("long comments", [("-", "-"), ("1", "--2")]),
        ("trailing delimiter", [("1", "2"), ("8", "9")]),
    ],
)
def test_values_of_a_dialect(name: str, rows: list[tuple[str | None, str | None]]) -> None:
    found = [row for _, _, row in outcomes(SAMPLES[name], 2, DIALECTS[name], []) if isinstance(row, tuple)]
    assert found == rows


def test_escaped_carriage_return_belongs_to_its_field() -> None:
    data = b"0\ta\\\rb\r\na\t1\\\r\nb\r\t2\\\r\r\n"
    whole = expected(data, 2, DIALECTS["text of postgres"])
    assert [outcome for _, _, outcome in whole] == [("0", "a\rb"), ("a", "1\r"), "stray carriage return"]
    assert outcomes(data, 2, DIALECTS["text of postgres"], []) == whole


def test_nul_that_mysql_escapes_rejects_its_record() -> None:
    found = outcomes(b"a\\0b\tc\nd\te\n", 2, DIALECTS["text of postgres"], [])
    assert [outcome for _, _, outcome in found] == ["NUL byte", ("d", "e")]


def test_record_without_the_trailing_delimiter_is_rejected() -> None:
    found = outcomes(b"1|2|\n1|2\n1|2|3\n1|2||\n", 2, DIALECTS["trailing delimiter"], [])
    message = "expected 2 fields and a delimiter after them, found"
    assert [outcome for _, _, outcome in found] == [("1", "2"), *(f"{message} {count}" for count in (2, 3, 4))]


def test_short_record_lacks_its_last_fields_and_a_long_one_is_rejected() -> None:
    found = outcomes(b'1,2,3\n1,2\n"1"\n,\n1,2,3,4\n', 3, DIALECTS["short records"], [])
    whole = [("1", "2", "3"), ("1", "2", None), ("1", None, None), (None, None, None)]
    assert [outcome for _, _, outcome in found] == [*whole, "expected at most 3 fields, found 4"]


def test_missing_field_is_null_where_an_empty_field_is_a_string() -> None:
    found = outcomes(b"1\t\n1\n", 2, DIALECTS["short records of postgres"], [])
    assert [outcome for _, _, outcome in found] == [("1", ""), ("1", None)]


def test_short_record_with_a_trailing_delimiter() -> None:
    found = outcomes(b"1|2|\n1|\n1\n1|2\n1|2||\n", 2, DIALECTS["short records with a trailing delimiter"], [])
    message = "expected at most 2 fields and a delimiter after them, found"
    assert [outcome for _, _, outcome in found] == [("1", "2"), ("1", None), *(f"{message} {n}" for n in (1, 2, 4))]


WRITERS: dict[str, dict[str, Any]] = {
    "default": {},
    "semicolon": {"delimiter": ";"},
    "tab": {"delimiter": "\t"},
    "unit separator": {"delimiter": "\x01"},
    "apostrophes": {"delimiter": "|", "quotechar": "'"},
    "escape in quotes": {"escapechar": "\\", "doublequote": False, "quoting": csv.QUOTE_ALL},
    "escape everywhere": {"delimiter": ";", "escapechar": "\\", "doublequote": False},
    "text of postgres": {"delimiter": "\t", "escapechar": "\\", "quoting": csv.QUOTE_NONE, "quotechar": None},
}
texts = st.text(st.sampled_from("ab ,;\t|\x01'\"\\\n^#é😀"), max_size=6)
"""The module writes a carriage return without quotes, so no text holds one."""


@pytest.mark.parametrize("name", WRITERS)
@examples(200)
@given(st.lists(st.tuples(texts, texts), max_size=6))
@example([("\\", '"'), ("a\\b", "\n"), ("\\\\", "'")])
def test_rows_that_pythons_csv_module_writes_are_read_unchanged(name: str, rows: list[tuple[str, str]]) -> None:
    rows = [row for row in rows if any(row)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", **WRITERS[name]).writerows(rows)
    found = [
        tuple(text or "" for text in row) if isinstance(row, tuple) else row
        for _, _, row in outcomes(out.getvalue().encode(), 2, DIALECTS[name], [])
    ]
    assert found == [row for row in rows if row]


def header_of(data: bytes, dialect: Csv, size: int) -> Header:
    def chunks() -> Iterator[tuple[bytes, bool]]:
        for begin in range(0, len(data), size):
            yield data[begin : begin + size], False
        yield b"", True

    return read_header(chunks(), dialect)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("data", "dialect", "names", "line"),
    [
        (b"a;b\n1;2\n", Csv(delimiter=";"), ["a", "b"], 2),
        (b"'a;x';'b''c'\n1;2\n", Csv(delimiter=";", quote="'"), ["a;x", "b'c"], 2),
        (b'"a",b"\n', Csv(quote=""), ['"a"', 'b"'], 2),
        (b'"a\\"b",c\n', Csv(escape="\\"), ['a"b', "c"], 2),
        (b"a\\\tb\tc\n", Csv(delimiter="\t", quote="", escape="\\"), ["a\tb", "c"], 2),
        (b"Report of\r\n\r\n2021\na,b\n", Csv(skip_lines=3), ["a", "b"], 5),
        (b"x\n# one\n\n#two\r\n\na,b\n", Csv(skip_lines=1, comment="#"), ["a", "b"], 7),
        (b"a|b|\n1|2|\n", Csv(delimiter="|", trailing_delimiter=True), ["a", "b"], 2),
        (b"a|b\n1|2|\n", Csv(delimiter="|", trailing_delimiter=True), ["a", "b"], 2),
        (b"a|b|\n1|2|\n", Csv(delimiter="|"), ["a", "b", ""], 2),
        (b"1,2\n", Csv(names=("a", "b")), ["a", "b"], 1),
        (b"title\n1,2\n", Csv(names=("a", "b"), skip_lines=1), ["a", "b"], 2),
        (b"", Csv(names=("a", "b")), ["a", "b"], 1),
        (b"", Csv(), [], 1),
        (b"x\n", Csv(skip_lines=5), [], 2),
        (b"#x\n#y", Csv(comment="#"), [], 2),
        (b"a,b", Csv(), ["a", "b"], 1),
        (b'a,"b\nin EUR",c\n1,2,3\n', Csv(), ["a", "b\nin EUR", "c"], 3),
        (b'"a\r\n""x"", y","\n\nb"\r\n1,2\n', Csv(), ['a\r\n"x", y', "b"], 5),
        (b"#x\n'a\n'';b';c\n1;2\n", Csv(delimiter=";", quote="'", comment="#"), ["a\n';b", "c"], 4),
        (b'"a\n\\"b",c\n', Csv(escape="\\"), ['a\n"b', "c"], 3),
        (b'a,"b\n', Csv(quote=""), ["a", '"b'], 2),
        (b'a,b,"c\n1,2,3\n', Csv(), ["a", "b", ""], 2),
        (b'a,b,"c\n1,"x"y,3\n', Csv(), ["a", "b", ""], 2),
        (b'a,"b\nc"', Csv(), ["a", "b\nc"], 2),
    ],
)
def test_header_of_a_dialect(data: bytes, dialect: Csv, names: list[str], line: int, mark: bytes, size: int) -> None:
    header = header_of(mark + data, dialect, size)
    assert (header.names, header.line) == (names, line)


def test_quote_that_does_not_close_soon_is_no_name_with_line_ends() -> None:
    rows = b"1,2\n" * (LONGEST_NAME // 4)
    assert header_of(b'a,"b\n' + rows + b'","c"\n', Csv(), 1 << 20).line == 2
    assert header_of(b'a,"b\n' + rows[:-8] + b'",c\n', Csv(), 1 << 20).names == [
        "a",
        f"b\n{rows[:-8].decode()}".strip(),
        "c",
    ]


def test_groups_of_a_dialect_are_bounded_by_comments_too() -> None:
    pieces = list(read_records(b"#\n" * 2_000_000 + b"1,2\n", columns_of(2), dialect=Csv(comment="#")))
    assert len(pieces) > 2
    assert [piece.row_count for piece in pieces if piece.row_count] == [1]
    assert pieces[-1].line == 2_000_002


def test_replayed_record_ends_with_its_line() -> None:
    records = CsvRecords(b"a\t1\\\n", columns_of(2), dialect=DIALECTS["text of postgres"], is_last=False)
    assert (records.row_count, records.end) == (0, 0)
