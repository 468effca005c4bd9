"""Undeclared keys of JSON records, stored in a separate column."""

import io
import json
from typing import Any, cast

import pytest
from copied_rows import validated
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError
from tasks.engine.formats.object_formats import FORMATS
from tasks.engine.formats.reader import read_batches

KEEPING = Contract(
    dataset="things",
    table="things_staging.things",
    description="One row per thing.",
    columns=(
        Column("name", TEXT, "Name.", aliases=("title",)),
        Column("rest", JSONB, "All else.", source=UNKNOWN_KEYS),
    ),
    records_key="things",
)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | names, lambda inner: st.lists(inner, max_size=3)
)


def read(data: bytes, name: str) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    """Return the names and unknown keys of each row, the rejections and the report."""
    (batch,) = read_batches(cast("io.BufferedReader", io.BytesIO(data)), name, KEEPING)
    found = validated(KEEPING, batch)
    rows = [(name, None if rest is None else json.loads(rest[1:])) for name, rest in map(dict.values, found.rows)]
    return rows, found.rejected, batch.columns.unknown


@pytest.mark.parametrize("indent", [None, 2])
def test_unknown_keys_are_kept_and_reported(indent: int | None) -> None:
    things = [
        {"name": "a", "size": 1.50, "tags": ["x", {"y": None}], 'the "key"': "é\n"},
        {"title": "b"},
        {"name": "c", "size": None},
        {"name": "d", UNKNOWN_KEYS: "a name like any other"},
    ]
    rows, rejected, unknown = read(json.dumps({"things": things}, indent=indent).encode(), "x.json")
    assert rows == [
        ("a", {"size": 1.5, "tags": ["x", {"y": None}], 'the "key"': "é\n"}),
        ("b", None),
        ("c", {"size": None}),
        ("d", {UNKNOWN_KEYS: "a name like any other"}),
    ]
    assert rejected == []
    assert unknown == ("size", "tags", 'the "key"', UNKNOWN_KEYS)


@pytest.mark.slow
@examples(80)
@given(st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=4))
def test_unknown_keys_are_stored_unchanged(records: list[dict[str, Any]]) -> None:
    things = [{"name": "a"} | {key: value for key, value in one.items() if key != "title"} for one in records]
    rows, _, _ = read("".join(json.dumps(thing) + "\n" for thing in things).encode(), "x.ndjson")
    wanted = [{key: value for key, value in thing.items() if key != "name"} for thing in things]
    assert [rest for _, rest in rows] == [rest or None for rest in wanted]


def test_unknown_key_that_jsonb_cannot_store_rejects_its_record() -> None:
    rows, rejected, _ = read(b'{"name": "a", "size": "\\u0000"}\n{"name": "b", "size": 1}\n', "x.ndjson")
    assert rows == [("b", {"size": 1})]
    assert [(row.line_number, row.column_name, row.reason) for row in rejected] == [
        (1, UNKNOWN_KEYS, r"unknown keys: expected JSON without \u0000 whose numbers Postgres can hold")
    ]


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if "json" not in suffix])
def test_format_without_keys_of_its_own_is_refused(suffix: str) -> None:
    with pytest.raises(ContractError, match="expected JSON, because only JSON records have the keys for column rest"):
        read(b"name\na\n", f"x{suffix}")
