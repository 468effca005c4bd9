"""JSON paths as sources and as the key of the records, with the shapes in which suppliers deliver JSON."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import validated

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.contracts.jsonb import JSONB
from tasks.contracts.paths import Step, path_text, places_of, steps_of
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.load.plan import read_names
from tasks.engine.rejected_rows import ReasonCode

QUAKE = {
    "type": "Feature",
    "properties": {"mag": 1.10, "place": "5 km N of X", "felt": None},
    "geometry": {"type": "Point", "coordinates": [-117.5, 33.20, 1e1]},
    "id": "ci1",
}


def contract_of(*sources: str, aliases: tuple[str, ...] = (), **options: Any) -> Contract:
    columns = tuple(
        Column(f"c{place}", JSONB if source == UNKNOWN_KEYS else TEXT, "text", source=source, aliases=aliases)
        for place, source in enumerate(sources)
    )
    return Contract("things", "s.things", "things", columns, **options)


def batches_of(data: bytes, contract: Contract, name: str = "x.ndjson") -> list[Batch]:
    return list(read_batches(io.BufferedReader(io.BytesIO(data)), name, contract))


def rows_of(batches: list[Batch]) -> list[tuple[Any, ...]]:
    return [row for batch in batches for row in frame_of(batch.strings).iter_rows()]


def read(record: Any, *sources: str, **options: Any) -> tuple[Any, ...]:
    """Return the values of the sources in one record."""
    text = record if isinstance(record, str) else json.dumps(record)
    contract = contract_of(*sources, **{"absent_keys": "null"} | options)
    return rows_of(batches_of(text.encode(), contract))[0]


def rejection(record: Any, *sources: str, **options: Any) -> tuple[ReasonCode, str]:
    text = record if isinstance(record, str) else json.dumps(record)
    contract = contract_of(*sources, **{"absent_keys": "null"} | options)
    (batch,) = batches_of(text.encode(), contract)
    ((row),) = batch.rejected
    assert row.raw == text.encode()
    assert row.column_name == (sources[0] if row.why.code == ReasonCode.WRONG_TYPE_ON_PATH else None)
    return row.why.code, row.reason


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)), ("properties.mag", ("properties", "mag")), ("items[0].sku", ("items", 0, "sku")),
        ("a[1][2]", ("a", 1, 2)), ("[1]", (1,)), ("[0].a", (0, "a")), ('["a.b"]', ("a.b",)),
        ('a["b.c"].d', ("a", "b.c", "d")), ('a["\\"]"]', ("a", '"]')), ("with space.x y", ("with space", "x y")),
        ('a["\\u00e9"]', ("a", "é")),
    ],
)  # fmt: skip
def test_path_has_steps(text: str, steps: tuple[Step, ...]) -> None:
    assert steps_of(text) == steps
    assert steps_of(path_text(steps)) == steps or steps == (path_text(steps),)


@pytest.mark.parametrize(
    "text",
    [
        "a.", ".a", "a..b", "price [EUR]", "a[-1]", "a[*].b", "a[0", "a]", "a[]", "[0]a", 'a["b', 'a["\\q"]', "a[01]",
        '"a".b',
    ],
)  # fmt: skip
def test_text_that_is_no_path_is_one_key(text: str) -> None:
    assert places_of(text) == ((text,),)
    assert read({text: 1}, text) == ("1",)


def test_values_at_paths_keep_their_spelling() -> None:
    text = '{"a": {"n": 1.10, "t": "x\\u00e9\\n", "l": [ 1E400 , {"k" : null}], "z": null}}'
    assert read(text, "a.n", "a.t", "a.l", "a.l[0]", "a.l[1].k", "a.z", "a.l[1]") == (
        "1.10", "xé\n", '[1E400,{"k":null}]', "1E400", None, None, '{"k":null}',
    )  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [{}, {"a": None}, {"a": {}}, {"a": {"b": None}}, {"a": {"b": {}}}, {"a": {"b": {"c": None}}}, {"b": {"c": 1}}],
)
def test_missing_key_within_a_path_gives_null(record: Any) -> None:
    assert read(record, "a.b.c") == (None,)


@pytest.mark.parametrize("record", [{}, {"a": None}, {"a": []}, {"a": [1]}, {"a": [1, None]}, {"a": [1, {"x": 1}]}])
def test_array_that_ends_early_gives_null(record: Any) -> None:
    assert read(record, "a[1].b") == (None,)


@pytest.mark.parametrize(
    ("record", "source", "reason"),
    [
        ({"a": "x"}, "a.b", "a.b: expected an object at a, found a text"),
        ({"a": '{"b": 1}'}, "a.b", "a.b: expected an object at a, found a text"),
        ({"a": 0}, "a.b", "a.b: expected an object at a, found a number"),
        ({"a": -1}, "a.b", "a.b: expected an object at a, found a number"),
        ({"a": True}, "a.b", "a.b: expected an object at a, found true"),
        ({"a": [{"b": 1}]}, "a.b", "a.b: expected an object at a, found an array"),
        ({"a": {"b": False}}, "a.b.c", "a.b.c: expected an object at a.b, found false"),
        ({"a": {"b": 1}}, "a[0]", "a[0]: expected an array at a, found an object"),
        ({"a": ["x"]}, "a[0].b", "a[0].b: expected an object at a[0], found a text"),
        ({"a": [[1], 2]}, "a[1][0]", "a[1][0]: expected an array at a[1], found a number"),
    ],
)  # fmt: skip
def test_another_type_within_a_path_rejects_the_record(record: Any, source: str, reason: str) -> None:
    assert rejection(record, source) == (ReasonCode.WRONG_TYPE_ON_PATH, reason)


def test_wrong_type_beyond_the_path_is_data() -> None:
    assert read({"a": {"b": "x"}, "c": [1]}, "a.b", "c") == ("x", "[1]")


def test_key_with_dots_is_found_by_its_name_and_in_quotes() -> None:
    assert read({"a.b": 1}, "a.b") == ("1",)
    assert read({"a.b": 1}, '["a.b"]') == ("1",)
    assert read({"a": {"b.c": 1, "d": [2]}}, 'a["b.c"]', "a.d[0]") == ("1", "2")
    assert read({"a.b": 1, "a": 5}, "a.b") == ("1",)  # the value at `a` is not needed


def test_key_and_path_at_once_reject_the_record_like_an_alias() -> None:
    reason = "column a.b occurs twice, as a.b and as the path a.b"
    assert rejection({"a.b": 1, "a": {"b": 2}}, "a.b") == (ReasonCode.DUPLICATE_COLUMN, reason)
    reason = "column a.b occurs twice, as the path a.b and as c"
    assert rejection({"a": {"b": 2}, "c": None}, "a.b", aliases=("c",)) == (ReasonCode.DUPLICATE_COLUMN, reason)


def test_alias_may_be_a_path() -> None:
    assert read({"p": {"m": 1}}, "mag", aliases=("p.m",)) == ("1",)
    assert read({"p": None, "mag": 2}, "mag", aliases=("p.m",)) == ("2",)
    assert read({"p": "x", "mag": 2}, "mag", aliases=("p.m",)) == ("2",)
    assert read({"p": [{"m": 3}]}, "p.m", aliases=("p[0].m",)) == ("3",)
    assert read({"p": {"m": 3}}, "p.m", aliases=("p[0].m",)) == ("3",)


def test_the_last_of_two_equal_parents_counts() -> None:
    assert read('{"a": {"b": 1}, "a": {"c": 2}}', "a.b", "a.c") == (None, "2")
    assert read('{"a": 5, "a": {"b": 2}}', "a.b") == ("2",)
    assert read('{"a": {"b": 2}, "a": null}', "a.b") == (None,)


def test_parent_and_child_may_both_be_sources() -> None:
    assert read({"a": {"b": 1, "c": 2}}, "a", "a.b") == ('{"b":1,"c":2}', "1")
    (batch,) = batches_of(b'{"a": {"b": [{"c": 1, "x": 2}], "x": 3}, "x": 4}', contract_of("a", "a.b[0].c"))
    assert batch.columns.unknown == ("x",)


def test_undeclared_keys_beside_a_path_are_reported_and_kept() -> None:
    contract = contract_of("properties.mag", "geometry.coordinates[0]", "id", UNKNOWN_KEYS, absent_keys="null")
    (batch,) = batches_of(json.dumps(QUAKE | {"a.b": {"c": 1}}).encode(), contract)
    assert batch.columns.unknown == ("type", "properties.place", "properties.felt", "geometry.type", "a.b")
    ((row,),) = [validated(contract, batch).rows]
    assert json.loads([*row.values()][-1][1:]) == {
        "type": "Feature",
        "properties": {"place": "5 km N of X", "felt": None},
        "geometry": {"type": "Point", "coordinates": [-117.5, 33.2, 10.0]},
        "a.b": {"c": 1},
    }


def test_parent_without_undeclared_keys_is_not_kept() -> None:
    assert read({"p": {"m": 1}, "q": None}, "p.m", "q.r", UNKNOWN_KEYS) == ("1", None, None)
    assert read({"p": {"m": 1, "x": {}}}, "p.m", UNKNOWN_KEYS) == ("1", '{"p":{"x":{}}}')
    assert read({"p": {"m": 1, "x": 2}}, "p.m", "p", UNKNOWN_KEYS)[2] is None


def test_undeclared_key_beside_a_path_fails_where_the_contract_says_so() -> None:
    with pytest.raises(ContractError, match=r"unknown properties\.felt; expected only properties\.mag"):
        batches_of(b'{"properties": {"mag": 1, "felt": 2}}', contract_of("properties.mag", unknown_columns="fail"))


@pytest.mark.parametrize("data", [b'{"p": {"magnitude": 1}}\n{"p": {}}', b'{"q": 1}\n{}', b'{"p": "x"}\n{}'])
def test_path_that_no_record_has_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"missing p\.mag; expected p\.mag; found") as error:
        batches_of(data, contract_of("p.mag"))
    if b"magnitude" in data:
        assert "found p.magnitude" in str(error.value)


@pytest.mark.parametrize("data", [b'{"p": null}', b'{"p": {"m": null}}', b'{"p": {}}\n{"p": {"m": 1}}'])
def test_null_within_a_path_counts_as_present(data: bytes) -> None:
    assert len(rows_of(batches_of(data, contract_of("p.m")))) == data.count(b"\n") + 1
    assert rows_of(batches_of(b'{"p": []}', contract_of("p[0]"))) == [(None,)]


@pytest.mark.parametrize("record", [{"a": {str(n): n for n in range(10_001)}}, {str(n): n for n in range(10_001)}])
def test_object_on_a_path_has_bounded_keys(record: Any) -> None:
    assert rejection(record, "a.b") == (ReasonCode.TOO_MANY_KEYS, "more than 10,000 keys")
    assert read({"a": record, "b": 1}, "b") == ("1",)


def test_element_of_a_long_array_is_found() -> None:
    assert read({"a": [*range(50_000)]}, "a[2]", "a[49999]", "a[50000]") == ("2", "49999", None)


def test_plan_finds_paths_as_the_load_does() -> None:
    contract = contract_of("properties.mag", "id", records_key="features")
    data = json.dumps({"features": [QUAKE]}).encode()
    names = read_names(io.BufferedReader(io.BytesIO(data)), "x.json", contract)
    assert names == ["properties.mag", "id", "type", "properties.place", "properties.felt", "geometry"]


def geojson() -> bytes:
    return json.dumps({"type": "FeatureCollection", "metadata": {"count": 2}, "features": [QUAKE, QUAKE]}).encode()


ITEMS = [{"id": 1, "user": {"name": "x"}}, {"id": 2, "user": None}]
IDS = [("1", "x"), ("2", None)]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (ITEMS, ""),
        ({"meta": {"page": 1}, "data": {"total": 2, "items": ITEMS, "next": None}, "links": []}, "data.items"),
        ({"items": ITEMS}, "items"),
        ({"data.items": ITEMS}, "data.items"),
        ({"data.items": ITEMS}, '["data.items"]'),
        ({"data": 5, "data.items": ITEMS}, "data.items"),
        ({"data": {"items": {"a.b": ITEMS}}}, 'data.items["a.b"]'),
        ([{"page": 1}, ITEMS], "[1]"),
        ([{"page": 1}, [0, {"rows": ITEMS}], 3], "[1][1].rows"),
        ({"results": [{"rows": ITEMS}, {"rows": []}]}, "results[0].rows"),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_records_are_found_where_the_contract_says(document: Any, key: str, indent: int | None) -> None:
    data = json.dumps(document, indent=indent).encode()
    assert rows_of(batches_of(data, contract_of("id", "user.name", records_key=key), "x.json")) == IDS


def test_geojson_is_read() -> None:
    contract = contract_of(
        "id", "properties.mag", "geometry.coordinates[1]", "geometry.coordinates[2]", records_key="features"
    )
    assert rows_of(batches_of(geojson(), contract, "x.json")) == [("ci1", "1.1", "33.2", "10.0")] * 2


def test_document_may_be_one_record() -> None:
    contract = contract_of("id", "user.name", records_key="$")
    for item, row in zip(ITEMS, IDS, strict=True):
        batches = batches_of(json.dumps(item, indent=1).encode(), contract, "x.json")
        assert (rows_of(batches), batches[0].records_of([0])[0][0]) == ([row], 1)


@pytest.mark.parametrize(
    ("document", "key", "messages"),
    [
        ({"id1": {"id": 1}, "id2": {"id": 2}}, "", ["found an object with id1, id2", "records_key", "as an array"]),
        ({"data": {"id1": {"id": 1}}}, "data", ['expected an array under "data", found an object with id1']),
        ({"id": 1, "user": {}}, "", ["found an object with id, user", 'set records_key to "$"']),
        ([["id", "user"], [1, 2]], "", ["expected JSON objects as records, found none in 2", "as an object", "CSV"]),
        ([1, 2], "", ["expected JSON objects as records, found none in 2 records, e.g. line 1 '1'"]),
        ({"data": None}, "data", ['expected an array under "data", found \'null']),
        ({"data": {"items": None}}, "data.items", ['expected an array under "data.items", found \'null']),
        ({"data": None, "x": 1}, "data.items", ['expected an object under "data", found \'null']),
        ({"data": []}, "data.items", ['expected an object under "data", found \'[]']),
        ({"data": {}}, "data[0]", ['expected an array under "data", found \'{}']),
        ({"data": {"rows": []}, "meta": 1}, "data.items", ['under "data.items", found data, data.rows, meta']),
        ({"meta": 1}, "data.items", ['expected the records under "data.items", found meta']),
        ({}, "data.items", ["found no keys"]),
        ([], "[1]", ['expected the records under "[1]", found no keys']),
        ([1], "data", ['expected a JSON object with its records under "data"']),
        ({}, "[1]", ['expected a JSON array with its records under "[1]"']),
        ({"data": {"items": []}, "data.items": []}, "data.items", ['expected the key "data.items" once']),
        ([1], "$", ["expected JSON objects as records, found none"]),
    ],
)  # fmt: skip
def test_document_without_the_records_says_what_it_has(document: Any, key: str, messages: list[str]) -> None:
    with pytest.raises(UnreadableObjectError) as error:
        batches_of(json.dumps(document).encode(), contract_of("id", records_key=key), "x.json")
    for message in messages:
        assert message in str(error.value)


def test_keys_of_personal_data_are_hidden() -> None:
    contract = Contract(
        "things", "s.things", "things", (Column("id", TEXT, "text", sensitive=True),), records_key="secret.key"
    )
    for document in ({"ann": {}}, {"secret": {"ann": 1}}, {"secret": {"key": {"ann": 1}}}, {"secret": "ann"}):
        with pytest.raises(UnreadableObjectError) as error:
            batches_of(json.dumps(document).encode(), contract, "x.json")
        assert "ann" not in str(error.value)


@pytest.mark.parametrize("source", ["p.m", "p[0]"])
def test_path_into_a_parquet_column_is_refused_with_the_next_step(source: str) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"p": [{"m": 1}]}), sink)
    message = rf"expected a column {source.replace('[', '.')[:3]}.*found only column p of type struct<m: int64>.*NDJSON"
    with pytest.raises(ContractError, match=message):
        batches_of(sink.getvalue(), contract_of(source), "x.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.table({source: ["1"]}), sink)
    assert rows_of(batches_of(sink.getvalue(), contract_of(source), "x.parquet")) == [("1",)]
