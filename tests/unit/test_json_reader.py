"""The JSON readers, compared with Python's parser on whole objects."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts import Column, Contract
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats import json_documents, record_groups
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches

NAMES = ("a", "b", "c")
FAST = settings(max_examples=150)


def contract_of(*names: str, key: str = "", **options: Any) -> Contract:
    columns = tuple(Column(name, TEXT, "text") for name in names)
    return Contract("things", "s.things", "things", columns, "p", "k", records_key=key, **options)


ABC = contract_of(*NAMES, absent_keys="null")
LIST = contract_of(*NAMES, key="list", absent_keys="null")


def batches_of(data: bytes, name: str = "x.ndjson", contract: Contract = ABC) -> list[Batch]:
    return list(read_batches(io.BufferedReader(io.BytesIO(data)), name, contract))


def rows_of(batches: list[Batch]) -> list[tuple[Any, ...]]:
    return [row for batch in batches for row in frame_of(batch.strings).iter_rows()]


def places_of(batches: list[Batch]) -> list[tuple[int, bytes]]:
    """Return the line and the bytes of every valid and rejected record, in the order of the lines."""
    found: list[tuple[int, bytes]] = []
    for batch in batches:
        found += batch.records_of(range(batch.strings.row_count))
        found += [(row.line_number, row.raw) for row in batch.rejected]
    return sorted(found, key=lambda place: place[0])


def errors_of(batches: list[Batch]) -> list[tuple[int, bytes, str]]:
    return [(row.line_number, row.raw, row.reason) for batch in batches for row in batch.rejected]


class Number(str):
    """A number that keeps its notation."""


def spelt(value: Any, *, is_ascii: bool = False) -> str | None:
    """Return the string of a value by the rules of `tasks.engine.formats.json_reader`."""
    if value is None or (isinstance(value, str) and not isinstance(value, Number)):
        return value
    return compact(value, is_ascii)


def compact(value: Any, is_ascii: bool) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(k, ensure_ascii=is_ascii)}:{compact(v, is_ascii)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(compact(item, is_ascii) for item in value) + "]"
    return json.dumps(value, ensure_ascii=is_ascii)


def parse(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.sampled_from(
        ['"', "\\", "\n", "\r\n", "null", "true", "[", "}", "{]", "\x01", "\0", "", " ", "é", "\ufeff", "1"]
    )
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)
records = st.dictionaries(st.sampled_from([*NAMES, "x", "y z", '"']), values, max_size=5)
indents = st.sampled_from([None, 0, 1, "\t"])


@pytest.mark.slow
@given(st.lists(records, min_size=1), st.integers(1, 40), st.booleans(), st.sampled_from(["\n", "\r\n", "\n \n\n"]))
@FAST
def test_lines_are_read_as_python_reads_them(items: list[Any], chunk: int, is_ascii: bool, end: str) -> None:
    texts = [json.dumps(item, ensure_ascii=is_ascii) for item in items]
    data = end.join(texts).encode()
    with patch.object(json_documents, "CHUNK_BYTES", chunk), patch.object(record_groups, "MOST_BYTES", 30):
        batches = batches_of(data)
    assert rows_of(batches) == [
        tuple(spelt(parse(text).get(name), is_ascii=is_ascii) for name in NAMES) for text in texts
    ]
    step = end.count("\n")
    assert places_of(batches) == [(1 + number * step, text.encode()) for number, text in enumerate(texts)]


@pytest.mark.slow
@given(st.lists(records), st.dictionaries(st.text(), values, max_size=3), indents, st.integers(1, 40), st.booleans())
@FAST
def test_document_is_read_as_python_reads_it(
    items: list[Any], others: dict[str, Any], indent: Any, chunk: int, is_ascii: bool
) -> None:
    document = others | {"list": items} | {f"{key} too": value for key, value in others.items()}
    data = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode()
    with patch.object(json_documents, "CHUNK_BYTES", chunk), patch.object(record_groups, "MOST_BYTES", 30):
        batches = batches_of(data, "x.json", LIST)
    written = parse(data.decode())["list"]
    assert rows_of(batches) == [tuple(spelt(item.get(name), is_ascii=is_ascii) for name in NAMES) for item in written]
    position = len(json.dumps(others, indent=indent, ensure_ascii=is_ascii).encode()) - 1 if others else 0
    position = data.index(b'"list"', position - 2 if others else 0)
    for line, raw in places_of(batches):
        position = data.index(raw, position)
        assert line == 1 + data.count(b"\n", 0, position)
        position += len(raw)


@pytest.mark.slow
@given(st.lists(records, min_size=1, max_size=4), st.integers(0, 400), st.binary(min_size=1, max_size=2), indents)
@FAST
def test_damaged_document_yields_its_own_records_or_names_the_place(
    items: list[Any], at: int, damage: bytes, indent: Any
) -> None:
    whole = json.dumps({"list": items}, indent=indent).encode()
    at %= len(whole)
    data = whole[:at] + damage + whole[at + 1 :]
    try:
        batches = batches_of(data, "x.json", LIST)
    except (UnreadableObjectError, ContractError) as error:
        assert "x.json" in str(error)  # noqa: PT017 - either outcome is right
        return
    found = [raw for _, raw in places_of(batches)]
    assert all(data.count(raw) >= found.count(raw) for raw in found)
    sound = [raw for batch in batches for _, raw in batch.records_of(range(batch.strings.row_count))]
    assert all(isinstance(json.loads(raw), dict) for raw in sound)


@pytest.mark.slow
@given(st.lists(records, min_size=2, max_size=6), st.data())
@FAST
def test_damaged_line_rejects_only_itself(items: list[Any], data: Any) -> None:
    lines = [json.dumps(item).encode() for item in items]
    bad = data.draw(st.integers(0, len(lines) - 1))
    lines[bad] = data.draw(st.sampled_from([b'{"a":', b"}", b'{"a" 1}', b"\xff", b'{"a":"\xff"}', b"[]", b'"', b"1,"]))
    batches = batches_of(b"\n".join(lines))
    assert [error[:2] for error in errors_of(batches)] == [(bad + 1, lines[bad])]
    assert [raw for _, raw in places_of(batches)] == lines


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.10", "1.10"), ("1E+2", "1E+2"), ("-0", "-0"), ("130.64999999999998000", "130.64999999999998000"),
        ("123456789012345678901234567890", "123456789012345678901234567890"), ("1e400", "1e400"), ("true", "true"),
        ("null", None), ('"null"', "null"), ('""', ""), ("false", "false"),
        ('"\\u00e9\\/\\n\\"\\\\"', 'é/\n"\\'), ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud800\\udc00"', "\U00010000"), ('"\\udbff\\udfff"', "\U0010ffff"), ('"\\ud7ff\\ue000"', "\ud7ff\ue000"),
        ('[ 1.0 , "a b",{ }]', '[1.0,"a b",{}]'), ('{"k" : "\\u00e9"}', '{"k":"\\u00e9"}'), ('"[ 1]"', "[ 1]"),
        ('"\\""', '"'), ('"\\\\"', "\\"), ('"a\\\\"', "a\\"),
    ],
)  # fmt: skip
def test_value_keeps_its_spelling(value: str, expected: str | None) -> None:
    assert rows_of(batches_of(f'{{"a": {value}, "b": 1}}'.encode()))[0][:2] == (expected, "1")


UNPAIRED = (
    b"\\udc00", b"\\udfff", b"\\ud800", b"\\udbffa", b"\\ud800\\n", b"\\ud800\\u0041",
    b"\\ud800\\udbff", b"\\ud800\\ue000",
)  # fmt: skip
"""Escapes of surrogates that are not a high one and then a low one."""


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": 01}', "invalid number"), (b'{"a": NaN}', "invalid character"), (b'{"a": "\t"}', "invalid character"),
        (b'{"a": 1,}', "trailing comma in object"), (b"{'a': 1}", "object keys must be strings"),
        (b'{"a": 1} {}', "trailing characters"),
        *[(b'{"a": "%b, and text"}' % text, "invalid utf-16 surrogate pair") for text in UNPAIRED],
    ],
)  # fmt: skip
def test_reason_of_a_rejection_contains_no_position(raw: bytes, reason: str) -> None:
    assert errors_of(batches_of(b"{}\n" + raw)) == [(2, raw, f"not JSON: {reason}")]


def test_deep_nesting_rejects_its_record_alone() -> None:
    bomb = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert errors_of(batches_of(b"{}\n" + bomb + b"\n{}")) == [(2, bomb, "JSON nested too deeply")]
    document = b"[{},\n" + bomb + b",\n{}]"
    assert errors_of(batches_of(document, "x.json")) == [(2, bomb, "JSON nested too deeply")]


def test_the_last_of_two_equal_keys_counts() -> None:
    assert rows_of(batches_of(b'{"a": 1, "a": 2}')) == [("2", None, None)]


def test_records_may_use_different_aliases_but_not_two_at_once() -> None:
    columns = (Column("a", TEXT, "text", aliases=("A",)), Column("b", TEXT, "text"))
    contract = Contract("things", "s.things", "things", columns, "p", "k")
    batches = batches_of(b'{"a": 1}\n{"A": 2, "b": 3}\n{"a": 1, "A": 2}', contract=contract)
    assert rows_of(batches) == [("1", None), ("2", "3")]
    assert errors_of(batches) == [(3, b'{"a": 1, "A": 2}', "column a occurs twice, as a and as A")]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b'{"a": "x,\n"b": 1}', "invalid character"),
        (b'{"a": [1}', "expected ',' or ']'"),
        (b'{"a": 1]}', "expected ',' or '}'"),
        (b'{"a": "x"y"z"}', "expected ',' or '}'"),
        (b'{"a": \xff}', "not UTF-8"),
        (b"5", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b'["a"]', "expected a JSON object"),
    ],
)
def test_damaged_element_rejects_itself_alone(damage: bytes, reason: str) -> None:
    batches = batches_of(b'{"list": [{"a": 1},\n' + damage + b',\n{"a": 2}]}', "x.json", LIST)
    assert [row[0] for row in rows_of(batches)] == ["1", "2"]
    ((line, raw, found),) = errors_of(batches)
    assert (line, raw) == (2, damage)
    assert reason in found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", 'line 1: expected a JSON object with its records under "list", found the end'),
        (b"\nno JSON", 'line 2: expected a JSON object with its records under "list", found \'no JSON'),
        (b"[]", 'expected a JSON object with its records under "list", found'),
        (b'{"a": 1}', 'expected the records under "list", found a'),
        (b"{}", 'expected the records under "list", found no keys'),
        (b'{"list": null}', 'expected an array under "list", found \'null'),
        (b'{"list": [{}, {}]', 'expected "," or "}" after a value, found the end'),
        (b'{"list": [{},\n{}', 'line 2: expected "," or "]" after a value, found the end'),
        (b'{"list": [{},\n{"a": [1', 'line 2: expected a complete value, but the document ends inside it: \'{"a": [1'),
        (b'{"list": [{}, {"a": 1 ]}', 'expected "," or "]" after a value, found the end'),
        (b'{"list": [{},]}', "expected a value, found ']}"),
        (b'{"list": [{} {}]}', 'expected "," or "]" after a value, found'),
        (b'{"list": [{}}]}', 'expected "," or "]" after a value, found'),
        (b'{"list": []} {}', "expected the end of the document, found more"),
        (b'{"list": [], "list": []}', 'expected the key "list" once'),
        (b'{"list" []}', 'expected ":" after key "list"'),
        (b"{list: []}", "expected a key in quotes"),
        (b'{"\\q": 1}', "expected a key in quotes"),
    ],
)
@pytest.mark.parametrize("chunk", [3, 4 << 20])
def test_document_that_cannot_be_split_names_the_place(data: bytes, message: str, chunk: int) -> None:
    with patch.object(json_documents, "CHUNK_BYTES", chunk), pytest.raises(UnreadableObjectError) as error:
        batches_of(data, "x.json", LIST)
    assert message.partition(" found '")[0] in str(error.value)
    assert "x.json, line " in str(error.value)


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_object_without_lines_is_valid(data: bytes) -> None:
    assert batches_of(data) == []


@pytest.mark.parametrize("data", [b"[]", b"\xef\xbb\xbf [ \n]\n"])
def test_array_may_be_empty(data: bytes) -> None:
    assert batches_of(data, "x.json") == []


@pytest.mark.parametrize("data", [b"<html>\n</html>", b"a,b,c\n1,2,3\n", b"[\n]\n", b"[1]", b"null", b"\x1f\x8b\x08\0"])
def test_object_without_any_json_line_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableObjectError, match=r"x.ndjson: expected one JSON object a line, found none"):
        batches_of(data)


@pytest.mark.parametrize("data", [b'{"a": 1', b'{"a": 1\n{"a" 2}\n{', b'  {"a"', b'<x>\n{"a": \n'])
def test_malformed_lines_are_rejected_one_by_one(data: bytes) -> None:
    batches = batches_of(data)
    assert [raw for _, raw, _ in errors_of(batches)] == data.removesuffix(b"\n").split(b"\n")
    assert rows_of(batches) == []


def test_lines_without_json_are_refused_before_all_of_them_are_read() -> None:
    batches = read_batches(io.BufferedReader(io.BytesIO(b"a,b\n" * 100_000)), "x.ndjson", ABC)
    with pytest.raises(UnreadableObjectError, match="found none in 16,384 lines"):
        next(batches)


def test_json_that_begins_late_is_read() -> None:
    batches = batches_of(b"<!-- generated -->\n" + b'{"a": 1}\n' * 3)
    assert len(rows_of(batches)) == 3
    assert [line for line, _, _ in errors_of(batches)] == [1]


def test_key_with_a_nul_is_reported_printable_and_rejects_no_row() -> None:
    batches = batches_of(b'{"a": 1, "x\\u0000y": 2}\n{"a": 2}')
    assert [row[0] for row in rows_of(batches)] == ["1", "2"]
    assert batches[0].columns.unknown == (r"x\x00y",)
    assert errors_of(batches) == []


def test_key_missing_from_every_record_is_refused_unless_it_may_be_absent() -> None:
    data = b'{"a": 1}\n{"b": 2}\n{"d": 3}'
    with pytest.raises(ContractError, match=r"missing c; .*found a, b, d"):
        batches_of(data, contract=contract_of(*NAMES))
    assert rows_of(batches_of(data))[2] == (None, None, None)
    assert batches_of(b"[]", "x.json", contract_of(*NAMES)) == []


def test_unknown_key_fails_where_the_contract_says_so() -> None:
    data = b'{"a": 1}\n{"a": 2, "d": 3}'
    assert batches_of(data)[-1].columns.unknown == ("d",)
    with pytest.raises(ContractError, match="unknown d"):
        batches_of(data, contract=contract_of(*NAMES, unknown_columns="fail"))


@pytest.mark.parametrize("name", ["x.ndjson", "x.json"])
def test_record_without_end_is_refused_early(name: str) -> None:
    endless = io.BufferedReader(_Endless(b'[{"a": 1},\n{"b": "' if name == "x.json" else b'{"a": 1}\n{"b": "'))
    with pytest.raises(UnreadableObjectError, match=r"line 2: .*16 MiB"):
        list(read_batches(endless, name, ABC))
    assert endless.tell() < 32 << 20


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * (1 << 20), id="open brackets"),
        pytest.param(b"[" * (1 << 20) + b"}" * (1 << 20), id="brackets of two kinds"),
        pytest.param(b'[{"' + b'\\"' * (1 << 20), id="escaped quotes"),
    ],
)
@pytest.mark.timeout(60)  # scanned once for each bracket, it takes hours
def test_hostile_brackets_are_scanned_once(data: bytes) -> None:
    with pytest.raises(UnreadableObjectError):
        batches_of(data, "x.json")


@pytest.mark.slow
@pytest.mark.parametrize("separator", [b"", b"\n"])
def test_memory_does_not_grow_with_the_document(separator: bytes) -> None:
    record = b'{"a": "' + b"x" * 1000 + b'", "b": [1, {"c": 2}]}'

    def peak(count: int) -> int:
        blocks = (b"[" if n == 0 else b"," + separator for n in range(count))
        file = io.BufferedReader(_Blocks(part for block in blocks for part in (block, record)), 1 << 16)
        tracemalloc.start()
        rows = sum(batch.strings.row_count for batch in read_batches(_Closed(file), "x.json", ABC))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == count
        return used

    small, large = peak(8_000), peak(24_000)
    assert large < 1.2 * small


class _Blocks(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Endless(io.RawIOBase):
    def __init__(self, begin: bytes) -> None:
        self._begin, self._position = begin, 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"x" * len(buffer)
        if not self._position:
            buffer[: len(self._begin)] = self._begin
        self._position += len(buffer)
        return len(buffer)


def _Closed(file: io.BufferedReader) -> Any:  # noqa: N802
    return _Tail(file)


class _Tail:
    """A file followed by the bracket that closes its array."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._tail = file, b"]"

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if not data:
            data, self._tail = self._tail, b""
        return data


def test_oracle_spells_numbers_as_they_are_written() -> None:
    assert spelt(parse('{"a": [1.10, 1e400]}')) == '{"a":[1.10,1e400]}'
    assert Decimal(spelt(parse("130.64999999999998")) or "") == Decimal("130.64999999999998")
