"""Columns of every type on their way: staging, marts, exports, the replay, explanations and the plan."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from sample_dataset import THINGS, client, connection, lake, load, put

from tasks.contracts import Column
from tasks.contracts.arrays import TEXT_ARRAY
from tasks.contracts.intervals import INTERVAL
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import (
    BIGINT,
    BIGINT_ARRAY,
    BOOLEAN,
    BYTEA,
    DATE,
    DOUBLE,
    INET,
    INTEGER,
    INTEGER_ARRAY,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMP_MS,
    TIMESTAMPTZ,
    UUID,
    VARCHAR,
    one_of,
)
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import sql_table
from tasks.engine.explain.explanation import explain_row
from tasks.engine.export.exporter import Export, export_of_table, write_exports
from tasks.engine.load.plan import plan_loads
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.tables import Connection

TYPES = {
    "code": VARCHAR(20), "small": SMALLINT, "whole": INTEGER, "big": BIGINT, "narrow": REAL, "wide": DOUBLE,
    "amount": NUMERIC(), "money": NUMERIC(12, 2), "day": DATE, "clock": TIME, "local": TIMESTAMP,
    "brief": TIMESTAMP_MS, "moment": TIMESTAMPTZ, "duration": INTERVAL, "raw": BYTEA, "paid": BOOLEAN,
    "numbers": INTEGER_ARRAY, "ids": BIGINT_ARRAY, "tags": TEXT_ARRAY, "state": one_of("open", "closed"),
    "address": INET, "token": UUID, "extra": JSONB, "words": TEXT,
}  # fmt: skip
EDGES = {
    "code": ["a", "b", "c", "d e"],
    "small": ["-32768", "32767", "0", ""],
    "whole": ["-2147483648", "2147483647", "0", ""],
    "big": ["-9223372036854775808", "9223372036854775807", "0", ""],
    "narrow": ["0.1", "NaN", "-Infinity", "1e-45"],
    "wide": ["0.1", "NaN", "-0", "1.7976931348623157e308"],
    "amount": ["1.0", "1.00", "12345678901234567890123456789.000000001", ""],
    "money": ["-0.01", "9999999999.99", "0", ""],
    "day": ["0001-01-01", "9999-12-31", "2021-04-01", ""],
    "clock": ["00:00", "24:00:00", "23:59:59.999999", ""],
    "local": ["0001-01-01", "9999-12-31 23:59:59.999999", "2021-04-01T10:00:00.5", ""],
    "brief": ["0001-01-01", "9999-12-31 23:59:59.999", "2021-04-01T10:00:00.5", ""],
    "moment": ["2021-04-01T10:00:00.000001+02:00", "9999-12-31 23:59:59Z", "2021-04-01", ""],
    "duration": ["1 year -2 mons 3 days -04:05:06.789", "-00:00:00.000001", "24:00:00", "1 day"],
    "raw": ["\\x", "\\x00ff0a", "\\x22", ""],
    "paid": ["true", "f", "1", ""],
    "numbers": ["{}", "{1,NULL,-2}", "[3]", ""],
    "ids": ["{}", "{9223372036854775807}", "{null}", ""],
    "tags": ["{}", '{a,"b,\\"c",NULL,"NULL",""}', '{"\\\\",é}', ""],
    "state": ["open", "closed", "open", ""],
    "address": ["1.2.3.4/24", "2001:db8::1", "10.0.0.0/8", ""],
    "token": ["123e4567-e89b-12d3-a456-426614174000", "{123E4567E89B12D3A456426614174001}", "", ""],
    "extra": ['{"a": [1, 2.50, "x\\ny"], "b": null}', "null", '"\\u00e9"', ""],
    "words": ['a"b', "a,b\nc", "NA", " "],
}
TYPED = replace(
    THINGS,
    dataset="typed",
    table="typed_staging.typed",
    columns=tuple(Column(name, type_, f"Meaning of {name}.") for name, type_ in TYPES.items()),
)
COLUMNS = ", ".join(f"typed.{name}" for name in TYPES)
SHARED = f"""-- sources: typed_staging.typed
-- write disposition: {{disposition}}
SELECT typed.month, {COLUMNS} FROM typed_staging.typed WHERE typed.month = %(month)s
"""
PARTITION = f"-- key: month, code\n-- parameters: month\n{SHARED.format(disposition='replace partition (month)')}"
MERGE = f"""-- key: code
-- sources: typed_staging.typed
-- write disposition: merge by (code)
SELECT {COLUMNS} FROM typed_staging.typed
INNER JOIN affected_merged AS affected ON typed.code = affected.code
"""
AFFECTED = "-- sources: typed_staging.typed\nSELECT DISTINCT typed.code FROM typed_staging.typed\n"
MARTS = {"parted": ("month", "month, code"), "merged": ("", "code")}
pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]


def data_of(edges: dict[str, list[str]]) -> bytes:
    rows = [list(edges), *zip(*edges.values(), strict=True)]
    return "\n".join(",".join(quoted(text) for text in row) for row in rows).encode() + b"\n"


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if text else ""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for name, (partition, key) in MARTS.items():
        folder = tmp_path / "marts" / name
        folder.mkdir(parents=True)
        columns = ["month date"] if partition else []
        columns += [f"{column} {type_.postgres}" for column, type_ in TYPES.items()]
        disposition = f"replace partition ({partition})" if partition else "merge by (code)"
        (folder / "table.sql").write_text(
            f"-- sources: none\n-- write disposition: {disposition}\nCREATE TABLE IF NOT EXISTS marts.{name} ("
            f"{', '.join(columns)}, PRIMARY KEY ({key}));\n"
        )
        (folder / "query.sql").write_text(PARTITION if partition else MERGE)
    (tmp_path / "marts" / "merged" / "affected_keys.sql").write_text(AFFECTED)
    return tmp_path


@pytest.fixture
def postgres(database: str, bucket: str, root: Path) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        apply_ddl(opened, [TYPED], ["marts"], root)
        yield opened


def build(postgres: Connection, root: Path) -> dict[str, int]:
    parameters = {"month": date(2021, 4, 1)}
    built = build_tables(postgres, "marts", parameters, partition="2021-04", contracts=[TYPED], root=root)
    return {one.table.partition(".")[2]: one.row_count for one in built}


def rows(postgres: Connection, table: str) -> list[tuple[Any, ...]]:
    """The text of each row, which distinguishes equal values of another form."""
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in TYPES)
    query = sql.SQL("SELECT {} FROM {} ORDER BY code").format(columns, sql.Identifier(*table.split(".")))
    return postgres.execute(sql.SQL("SELECT r.code, r::text FROM ({}) AS r ORDER BY r.code").format(query)).fetchall()


def exported(postgres: Connection, export: Export) -> bytes:
    write_exports(postgres, lake(), [export], prefix="out/", export_id="all")
    body = client().get_object(Bucket=lake().bucket, Key=f"out/all/{export.file_name}")["Body"].read()
    assert isinstance(body, bytes)
    return body


def test_every_type_reaches_marts_exports_and_explanations_unchanged(postgres: Connection, root: Path) -> None:
    receipt = load(postgres, put(data_of(EDGES)), contract=TYPED)
    assert (receipt.rows_loaded, receipt.rows_rejected) == (4, 0), receipt.reasons
    assert build(postgres, root) == {"parted": 4, "merged": 4}
    staged = rows(postgres, TYPED.table)
    assert rows(postgres, TYPED.ingested) == rows(postgres, "marts.parted") == rows(postgres, "marts.merged") == staged
    for name, text in (("wide", "NaN"), ("duration", "PT-0.000001S"), ("raw", "\\x22"), ("tags", "{}")):
        found = explain_row(postgres, "marts.parted", {name: text}, [TYPED], root)
        assert [len(one.lines) for one in found.origins.shown] == [1], name
    (planned,) = plan_loads(postgres, lake(), TYPED, [put(data_of(EDGES), "plan.csv")], RunSettings()).objects
    assert (planned.error, planned.check and planned.check.problems) == (None, ())
    data = exported(postgres, export_of_table(postgres, sql_table("marts.merged", root)))
    again = load(postgres, put(data), contract=TYPED)
    assert (again.rows_loaded, again.rows_rejected) == (4, 0), again.reasons
    assert rows(postgres, TYPED.table) == staged


@pytest.mark.parametrize(
    ("column", "text"),
    [("amount", "1.00"), ("wide", "0"), ("duration", "1 day"), ("extra", '{"a": 1.0}')],
)
def test_equal_value_in_another_form_is_a_change_of_a_merge(
    postgres: Connection, root: Path, column: str, text: str
) -> None:
    first = {name: texts[:1] for name, texts in EDGES.items()}
    earlier = {"amount": "1.0", "wide": "-0", "duration": "24:00:00", "extra": '{"a": 1}'}[column]
    load(postgres, put(data_of({**first, column: [earlier]})), contract=TYPED)
    build(postgres, root)
    load(postgres, put(data_of({**first, column: [text]})), contract=TYPED)
    build(postgres, root)
    assert rows(postgres, "marts.merged") == rows(postgres, TYPED.table)


def test_unchanged_rows_of_every_type_are_no_changes_of_a_merge(postgres: Connection, root: Path) -> None:
    load(postgres, put(data_of(EDGES)), contract=TYPED)
    build(postgres, root)
    load(postgres, put(data_of(EDGES)), contract=TYPED, force=True)
    assert build(postgres, root) == {"parted": 4, "merged": 0}


def test_random_values_survive_an_export_and_a_load(postgres: Connection) -> None:
    load(postgres, put(data_of(EDGES)), contract=TYPED)
    postgres.execute("DELETE FROM typed_staging.typed")
    numbers = random.Random(7)  # noqa: S311 - the same values in each run
    for place in range(200):
        postgres.execute(
            "INSERT INTO typed_staging.typed (month, load_id, code, narrow, wide, duration, raw, tags) VALUES"
            " ('2021-04-01', 0, %s, %s, %s, make_interval(%s, %s, 0, %s, %s, 7, %s), %s, %s)",
            [
                f"{place:04d}", numbers.uniform(-1, 1) * 10 ** numbers.randint(-37, 37),
                numbers.uniform(-1, 1) * 10.0 ** numbers.randint(-300, 300),
                *(numbers.randint(-99, 99) for _ in range(4)),
                numbers.uniform(-99, 99), numbers.randbytes(place % 9),
                ["".join(chr(numbers.choice((34, 44, 92, 123, 125, 32, 65, 233))) for _ in range(3))] * (place % 3),
            ],
        )  # fmt: skip
    query = sql.SQL("SELECT * FROM typed_staging.typed WHERE month = '2021-04-01' ORDER BY code")
    data = exported(postgres, Export("typed", query))
    stored = rows(postgres, TYPED.table)
    postgres.execute("DELETE FROM typed_staging.typed")
    receipt = load(postgres, put(data), contract=TYPED)
    assert (receipt.rows_loaded, receipt.rows_rejected) == (200, 0), receipt.reasons
    assert rows(postgres, TYPED.table) == stored
