"""The native JSON reader agrees with the reader in Python: values, lines, bytes and reasons, at every chunk size."""

import io
import json
from typing import Any
from unittest.mock import patch

import pytest
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st
from json_oracle import Expected, expected_of

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.contracts.jsonb import JSONB
from tasks.contracts.spelling import Spelling
from tasks.contracts.types import NUMERIC, TEXT
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats import json_documents, json_groups, json_reader
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.json_documents import JsonDocument
from tasks.engine.formats.json_records import Record, read_lines
from tasks.engine.quoting import shown
from tasks.engine.rejected_rows import ReasonCode

SOURCES = ("a", "b.c", "b.c.d", "b[1]", "d[0].e", "x.y")
CONTRACT = Contract(
    "things",
    "s.things",
    "things",
    (
        *(Column(f"c{n}", TEXT, "text", source=source, aliases=("z",) * (n == 0)) for n, source in enumerate(SOURCES)),
        Column("rest", JSONB, "Other keys.", source=UNKNOWN_KEYS),
    ),
    absent_keys="null",
)
LIGHT = examples(120)

names = st.sampled_from(["a", "b", "c", "d", "e", "x", "y", "x.y", "z", "", "é", 'q"', "\\n"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(
        ['"', "\\", "\n", "{", "]", "null", "\0", "\u2028", "\U0001f600", "é" * 9, "plain text of some length"]
    )
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)
records = st.dictionaries(names, values, max_size=5)
damages = st.sampled_from(
    [b"", b" ", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"\xff", b"\xc3", b"\0", b"0", b"-", b".", b"e",
     b"\t", b"null", b"nul", b"\\u", b"\\ud800", b'"a":1,', b"1.", b"01", b"\\x", b",}", b",]", b"\r"]
)  # fmt: skip


@st.composite
def texts(draw: Any) -> bytes:
    """A record, in some notation, possibly damaged."""
    spaces = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")]))
    text = json.dumps(draw(records), ensure_ascii=draw(st.booleans()), separators=spaces).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(damages) + text[at + draw(st.integers(0, 2)) :]
    return text


def read(data: bytes, name: str, chunk: int) -> Expected:
    found = Expected()
    with (
        patch.object(json_documents, "CHUNK_BYTES", chunk),
        patch.object(json_groups, "MOST_BYTES", chunk),
        patch.object(json_groups, "MOST_RECORDS", 1 + chunk % 3),
    ):
        batches = json_reader.read_json if name == "x.json" else json_reader.read_ndjson
        for batch in batches(io.BytesIO(data), name, CONTRACT, chunk):
            rows = frame_of(batch.strings).rows()
            places = batch.records_of(range(len(rows)))
            found.rows += [(*place, row) for place, row in zip(places, rows, strict=True)]
            found.rejected += [(row.line_number, row.raw, row.column_name, row.why) for row in batch.rejected]
            found.unknown = dict.fromkeys(batch.columns.unknown)
    return found


def elements(data: bytes) -> list[Record]:
    """Split a document by brackets and strings."""
    document = JsonDocument(io.BytesIO(data), "x.json")
    document.expect(b"[", "an array")
    found: list[Record] = []
    if not document.skip_empty_array():
        found.append(document.value())
        while not document.takes_closer(b"]"):
            found.append(document.value())
    if document.peek():
        raise document.error("expected the end")
    return found


def check(found: Expected, records: list[Record]) -> None:
    expected = expected_of(records, CONTRACT)
    assert rejected(found) == rejected(expected)
    assert [row[:2] for row in found.rows] == [row[:2] for row in expected.rows]
    for (_, raw, values), (_, _, wanted) in zip(found.rows, expected.rows, strict=True):
        assert values[:-1] == wanted[:-1], raw
        assert loaded(values[-1]) == loaded(wanted[-1]), raw
    # Of two equal keys with objects, the reader in Python looks into the last only.
    assert {*map(shown, expected.unknown)} <= found.unknown.keys() or found.unknown == {}


def rejected(found: Expected) -> list[tuple[Any, ...]]:
    """The rejections. The parsers word the reasons of malformed JSON differently."""
    return [(*place, why.code if why.code == ReasonCode.NOT_JSON else why) for *place, why in found.rejected]


def loaded(text: str | None) -> Any:
    return text and json.loads(text, parse_float=str, parse_int=str)


@pytest.mark.slow
@given(st.lists(texts(), min_size=1, max_size=5), st.integers(1, 60), st.sampled_from([b"\n", b"\r\n", b"\n \n\n"]))
@LIGHT
def test_lines_are_read_as_the_reader_in_python_reads_them(items: list[bytes], chunk: int, end: bytes) -> None:
    data = end.join([*items, b'{"a":1}'])
    check(read(data, "x.ndjson", chunk), list(read_lines(io.BytesIO(data), "x.ndjson")))


@pytest.mark.slow
@given(st.lists(texts(), min_size=1, max_size=5), st.integers(1, 60), st.sampled_from([b",", b"\n,\n ", b" ,\r\n"]))
@LIGHT
def test_elements_are_read_as_the_reader_in_python_reads_them(items: list[bytes], chunk: int, comma: bytes) -> None:
    data = b"[" + comma.join([b'{"a":1}', *items]) + b"]\n"
    try:
        records = elements(data)
    except UnreadableObjectError:
        with pytest.raises(UnreadableObjectError):
            read(data, "x.json", chunk)
    else:
        check(read(data, "x.json", chunk), records)


def test_sound_elements_need_no_reader_in_python() -> None:
    data = b'{"a": 1}, {"a": [2]} ,\n{"a": "3"}\n]'
    group = json_reader.RecordKeys(CONTRACT, "x.json", is_document=True).elements(data, 0, 1, expects_value=True)
    assert (group.row_count, group.count, group.line, data[group.end :]) == (3, 3, 3, b"]")


def test_numbers_get_the_decimal_mark_of_their_column_and_strings_keep_theirs() -> None:
    spelling = Spelling(decimal=",")
    columns = (Column("price", NUMERIC(10, 3), "Price.", source="a.p", spelling=spelling), Column("x", TEXT, "Text."))
    contract = Contract("things", "s.things", "things", columns)
    data = b'{"a": {"p": -1.25}, "x": 1.5}\n{"a": {"p": "1,25"}, "x": 2.5e1}\n{"a": {"p": 7}, "x": [1.5]}\n'
    (batch, *_) = json_reader.read_ndjson(io.BytesIO(data), "x.ndjson", contract, 1 << 20)
    assert frame_of(batch.strings).rows() == [("-1,25", "1.5"), ("1,25", "2.5e1"), ("7", "[1.5]")]
