"""Every reason to reject a record has a stable code, in every format, and the page about input explains each code."""

import gzip
import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import validated

from tasks.contracts import Column, Contract
from tasks.contracts.types import DATE, TEXT
from tasks.engine.formats.reader import read_batches
from tasks.engine.load.rejections import RejectedLoad
from tasks.engine.load.replay import replay_batch
from tasks.engine.rejected_rows import ReasonCode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "input.md"
CONTRACT = Contract(
    "x",
    "x_staging.x",
    "One row per x.",
    (Column("name", TEXT, "Name.", aliases=("title", "book.title"), nullable=False), Column("day", DATE, "Day.")),
)


def parquet_of(*names: bytes | None, day: str = "2021-04-01") -> bytes:
    texts = pa.array(names, pa.binary()).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({"name": texts, "day": [day] * len(names)}), sink)
    return sink.getvalue()


CASES = [
    ("x.csv", b"name,day\na,x\n", ReasonCode.INVALID_VALUE),
    ("x.csv", b"name,day\n,2021-04-01\n", ReasonCode.MISSING_VALUE),
    ("x.csv", b"name,day\na,,c\n", ReasonCode.TOO_MANY_FIELDS),
    ("x.csv", b"name,day\na\n", ReasonCode.TOO_FEW_FIELDS),
    ("x.csv", b'name,day\n"a,\n', ReasonCode.BAD_QUOTE),
    ("x.csv", b'name,day\n"a"b,\n', ReasonCode.BAD_QUOTE),
    ("x.csv", b"name,day\na\0,\n", ReasonCode.NUL_BYTE),
    ("x.csv", b"name,day\n\xff,\n", ReasonCode.NOT_UTF8),
    ("x.csv", b"name,day\na\rb,\n", ReasonCode.STRAY_CARRIAGE_RETURN),
    ("x.ndjson", b'{"name":"a","day":"x"}\n', ReasonCode.INVALID_VALUE),
    ("x.ndjson", b'{"name":"a\\u0000","day":null}\n', ReasonCode.INVALID_VALUE),
    ("x.ndjson", b'{"name":null,"day":null}\n', ReasonCode.MISSING_VALUE),
    ("x.ndjson", b'{"name":"\xff","day":null}\n', ReasonCode.NOT_UTF8),
    ("x.ndjson", b'{"name":"a","day":null\n', ReasonCode.NOT_JSON),
    ("x.ndjson", b'{"name":"a"}\n[1]\n', ReasonCode.NOT_AN_OBJECT),
    ("x.ndjson", b'{"name":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n", ReasonCode.NESTED_TOO_DEEPLY),
    ("x.ndjson", b"{" + b",".join(b'"%d":1' % i for i in range(10_001)) + b"}\n", ReasonCode.TOO_MANY_KEYS),
    ("x.ndjson", b'{"name":"a","title":"b","day":null}\n', ReasonCode.DUPLICATE_COLUMN),
    ("x.ndjson", b'{"book":"a","day":null}\n', ReasonCode.WRONG_TYPE_ON_PATH),
    ("x.json", b'[{"name":"a","day":"x"}]', ReasonCode.INVALID_VALUE),
    ("x.json", b'[{"day":null}]', ReasonCode.MISSING_VALUE),
    ("x.json", b'[{"name":"a"},1]', ReasonCode.NOT_AN_OBJECT),
    ("x.json", b'[{"name":"a"},{"name" "b"}]', ReasonCode.NOT_JSON),
    ("x.parquet", parquet_of(b"a", day="x"), ReasonCode.INVALID_VALUE),
    ("x.parquet", parquet_of(b"a\0"), ReasonCode.INVALID_VALUE),
    ("x.parquet", parquet_of(None), ReasonCode.MISSING_VALUE),
    ("x.parquet", parquet_of(b"\xff"), ReasonCode.NOT_UTF8),
]


def codes_of(name: str, data: bytes) -> list[ReasonCode]:
    contract = replace(CONTRACT, absent_keys="null")
    batches = read_batches(io.BufferedReader(io.BytesIO(data)), name, contract)
    return [row.why.code for batch in batches for row in validated(contract, batch).rejected]


@pytest.mark.parametrize(("name", "data", "code"), CASES, ids=[f"{n}-{c}-{i}" for i, (n, _, c) in enumerate(CASES)])
def test_reason_has_its_code_in_each_format(name: str, data: bytes, code: ReasonCode) -> None:
    assert codes_of(name, data) == [code]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [case for case in CASES if not case[0].endswith(".parquet")],
    ids=[f"{n}-{c}-{i}" for i, (n, _, c) in enumerate(CASES) if not n.endswith(".parquet")],
)
def test_reason_has_the_same_code_in_a_compressed_object(name: str, data: bytes, code: ReasonCode) -> None:
    assert codes_of(f"{name}.gz", gzip.compress(data)) == [code]


def test_replay_gives_a_record_that_became_several_its_own_code() -> None:
    load = RejectedLoad(1, "", "s3://bucket/x.csv", "v", ("name", "day"))
    batch = replay_batch(CONTRACT, load, [(1, b"a,\nb,"), (2, b""), (3, b"a,b,c"), (4, b"a,")])
    assert [(row.line_number, row.why.code) for row in batch.rejected] == [
        (1, ReasonCode.NOT_ONE_RECORD),
        (2, ReasonCode.NOT_ONE_RECORD),
        (3, ReasonCode.TOO_MANY_FIELDS),
    ]


def test_no_code_is_without_a_case() -> None:
    assert {code for _, _, code in CASES} | {ReasonCode.NOT_ONE_RECORD} == set(ReasonCode)


def test_page_about_input_explains_exactly_these_codes() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Reason codes")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(ReasonCode)
