"""Staging rows keep the line number of their record, in every format; a view adds their object and their load."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_dataset import DAY_KEY, THINGS, connection, load, put

from tasks.contracts import LINE_NUMBER, LOAD_COLUMNS, Column, Contract, Partition
from tasks.contracts.digests import contract_digest
from tasks.contracts.types import BIGINT, DATE, INTEGER, TEXT
from tasks.engine.errors import SchemaDriftError
from tasks.engine.formats import csv_reader
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

COLUMNS = (Column("name", TEXT, "Name.", nullable=False), Column("size", INTEGER, "Size."))
PLAIN = replace(THINGS, columns=COLUMNS, partition=None, keys=("things.csv",))
MONTHS = replace(THINGS, columns=COLUMNS)
DAYS = replace(THINGS, columns=COLUMNS, partition=Partition(column="day", unit="day", span="year"), key=DAY_KEY)
CASES: dict[str, tuple[Contract, str]] = {
    "plain": (PLAIN, ""),
    "month": (MONTHS, "2021-04"),
    "year": (DAYS, "2021-04-01"),
}


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        yield opened


def lines(postgres: Connection) -> list[tuple[Any, ...]]:
    query = 'SELECT line_number, name FROM things_staging.things ORDER BY line_number, name COLLATE "C"'
    return postgres.execute(query).fetchall()


def parquet_of(names: list[str | None], sizes: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"name": names, "size": sizes}), sink, row_group_size=2)
    return sink.getvalue()


OBJECTS: dict[str, tuple[bytes, list[tuple[int, str]]]] = {
    "blank lines before the header.csv": (b"\n\nname,size\na,1\nb,2\n", [(4, "a"), (5, "b")]),
    "record of two lines.csv": (b'name,size\n"a\nb",1\nc,2\n', [(2, "a\nb"), (4, "c")]),
    "blank lines and returns.csv": (b"name,size\r\n\r\na,1\r\n\r\nb,2", [(3, "a"), (5, "b")]),
    "rejected rows between.csv": (b"name,size\na,1\nb,x\n,3\nc,4,5\nd,5\n", [(2, "a"), (6, "d")]),
    "lines.ndjson": (
        b'{"name": "a", "size": 1}\n\nnot JSON\n{"name": "b", "size": 2}\n{"name": "c", "size": "x"}\n'
        b'{"name": "d", "size": 3}\n',
        [(1, "a"), (4, "b"), (6, "d")],
    ),
    "document.json": (
        b'[{"name": "a", "size": 1}, {"name": "b", "size": 2},\n {"name": null},\n{"name": "c",\n"size": 3}]',
        [(1, "a"), (1, "b"), (3, "c")],
    ),
    "rows.parquet": (parquet_of(["a", None, "c", "d", "e"], ["1", "2", "x", "4", "5"]), [(1, "a"), (4, "d"), (5, "e")]),
    "one.csv": (b"name,size\na,1", [(2, "a")]),
    "none.csv": (b"name,size\n", []),
}


@pytest.mark.parametrize("span", CASES)
@pytest.mark.parametrize("name", OBJECTS)
def test_row_keeps_the_line_where_its_record_begins(postgres: Connection, name: str, span: str) -> None:
    contract, partition = CASES[span]
    data, expected = OBJECTS[name]
    apply_ddl(postgres, [contract], [])
    receipt = load(postgres, put(data, name, partition), contract=contract, force=True)
    assert lines(postgres) == expected
    assert receipt.rows_loaded == len(expected)
    # Loaded again into the existing table, without the fast path of a new partition.
    load(postgres, put(data, name, partition), contract=contract, force=True)
    assert lines(postgres) == expected


def test_line_numbers_continue_across_chunks(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", 16)
    apply_ddl(postgres, [PLAIN], [])
    data = b"name,size\n" + b"".join(b"n%d,%d\n" % (n, n) for n in range(50))
    load(postgres, put(data, partition=""), contract=PLAIN)
    assert lines(postgres) == [(n + 2, f"n{n}") for n in range(50)]


@pytest.mark.parametrize("span", CASES)
@pytest.mark.parametrize(
    "name", ["rejected rows between.csv", "lines.ndjson", "document.json", "rows.parquet", "record of two lines.csv"]
)
def test_replayed_row_keeps_the_line_of_its_object(postgres: Connection, name: str, span: str) -> None:
    contract, partition = CASES[span]
    data, _ = OBJECTS[name]
    apply_ddl(postgres, [contract], [])
    load(postgres, put(data, name, partition), contract=contract, force=True)
    rejected = {line for (line,) in postgres.execute("SELECT line_number FROM ledger.rejected_rows")}
    valid = {line for line, _ in lines(postgres)}
    lenient = Column("size", INTEGER, "Size.", derive=lambda text: text if text and text.isdigit() else "0")
    anything = Column("name", TEXT, "Name.")
    fixed = replace(contract, columns=(anything, lenient))
    apply_ddl(postgres, [fixed], [])
    for rejected_load in rejected_loads(postgres, contract.dataset, None):
        replay_load(postgres, fixed, rejected_load)
    open_lines = {
        line for (line,) in postgres.execute("SELECT line_number FROM ledger.rejected_rows WHERE resolved_by IS NULL")
    }
    assert {line for line, _ in lines(postgres)} == valid | (rejected - open_lines)
    assert rejected - open_lines or not rejected


@pytest.mark.parametrize("span", CASES)
def test_table_without_the_column_gains_it_and_old_rows_stay_unchanged(postgres: Connection, span: str) -> None:
    contract, partition = CASES[span]
    old = replace(contract, line_numbers=False)
    data = b"name,size\na,1\nb,2\n"
    apply_ddl(postgres, [old], [])
    source = put(data, partition=partition)
    load(postgres, source, contract=old)
    with pytest.raises(SchemaDriftError, match="column line_number: expected bigint, found no such column"):
        load(postgres, source, contract=contract, force=True)
    assert apply_ddl(postgres, [contract], []) == ["things_staging.things", "things_staging.things_ingested"]
    assert lines(postgres) == [(None, "a"), (None, "b")]
    assert load(postgres, source, contract=contract).status == "unchanged"  # the column makes no load stale
    load(postgres, source, contract=contract, force=True)
    assert lines(postgres) == [(2, "a"), (3, "b")]
    assert apply_ddl(postgres, [contract], []) == []


def test_digest_of_a_contract_does_not_depend_on_line_numbers() -> None:
    assert contract_digest(PLAIN) == contract_digest(replace(PLAIN, line_numbers=False))


def test_contract_without_line_numbers_has_no_column(postgres: Connection) -> None:
    contract = replace(MONTHS, line_numbers=False)
    apply_ddl(postgres, [contract], [])
    load(postgres, put(b"name,size\na,1\n"), contract=contract)
    assert postgres.execute("SELECT * FROM things_staging.things").fetchone()[2:] == ("a", 1)  # type: ignore[index]
    names = [column.name for column in postgres.execute("TABLE things_staging.things_ingested").description or ()]
    assert names == ["month", "load_id", "name", "size", *LOAD_COLUMNS]


# The view


@pytest.mark.parametrize("span", CASES)
def test_view_adds_the_object_and_the_load(postgres: Connection, span: str) -> None:
    contract, partition = CASES[span]
    apply_ddl(postgres, [contract], [])
    source = put(b"name,size\na,1\nb,x\n", partition=partition)
    receipt = load(postgres, source, contract=contract, flow_run_id="0d9cbbd8-0000-4000-8000-000000000001")
    found = postgres.execute(
        "SELECT name, line_number, load_id, source_uri, source_version, loaded_at IS NOT NULL, flow_run_id::text"
        " FROM things_staging.things_ingested"
    ).fetchall()
    version = (source.uri, source.version, True, "0d9cbbd8-0000-4000-8000-000000000001")
    assert found == [("a", 2, receipt.load_id, *version)]


@pytest.mark.parametrize("span", CASES)
def test_every_column_of_a_staging_table_and_its_view_has_a_comment(postgres: Connection, span: str) -> None:
    contract, _ = CASES[span]
    apply_ddl(postgres, [contract], [])
    missing = postgres.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
        " AND attrelid IN ('things_staging.things'::regclass, 'things_staging.things_ingested'::regclass)"
        " AND col_description(attrelid, attnum) IS NULL"
    ).fetchall()
    assert missing == []
    for name in ("things", "things_ingested"):
        comment = postgres.execute("SELECT obj_description(%s::regclass)", [f"things_staging.{name}"]).fetchone()
        assert comment is not None
        assert comment[0]


CHANGED: dict[str, tuple[Column, ...]] = {
    "a column in the middle": (COLUMNS[0], Column("colour", TEXT, "Colour."), COLUMNS[1]),
    "a wider type": (COLUMNS[0], Column("size", BIGINT, "Size.")),
    "another comment": (COLUMNS[0], Column("size", INTEGER, "Size in pieces.")),
}


@pytest.mark.parametrize("span", CASES)
@pytest.mark.parametrize("change", CHANGED)
def test_view_follows_the_table_and_keeps_its_rights(postgres: Connection, change: str, span: str) -> None:
    contract, partition = CASES[span]
    apply_ddl(postgres, [contract], [])
    load(postgres, put(b"name,size\na,1\n", partition=partition), contract=contract)
    postgres.execute("GRANT SELECT ON things_staging.things_ingested TO PUBLIC")
    changed = replace(contract, columns=CHANGED[change])
    apply_ddl(postgres, [changed], [])
    described = postgres.execute("TABLE things_staging.things_ingested").description or ()
    own = [contract.partition.column] if contract.partition else []
    columns = [column.name for column in changed.columns]
    assert [each.name for each in described] == [*own, "load_id", *columns, LINE_NUMBER, *LOAD_COLUMNS]
    rights = postgres.execute(
        "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE oid = 'things_staging.things_ingested'::regclass"
        " AND a.grantee = 0"
    ).fetchone()
    assert rights == (1,)
    assert apply_ddl(postgres, [changed], []) == []


def test_migration_may_change_a_column_that_the_view_reads(postgres: Connection, tmp_path: Path) -> None:
    root = tmp_path
    (root / "ledger").symlink_to(Path(__file__).parents[2] / "sql" / "ledger")
    folder = root / "things_staging" / "migrations"
    folder.mkdir(parents=True)
    apply_ddl(postgres, [PLAIN], [], root)
    load(postgres, put(b"name,size\na,1\n", partition=""), contract=PLAIN)
    postgres.execute("GRANT SELECT ON things_staging.things_ingested TO PUBLIC")
    (folder / "0001_drop.py").write_text(
        '"""Drop the size."""\n\nfrom alembic import op\n\nrevision = "0001"\ndown_revision = None\n\n\n'
        'def upgrade() -> None:\n    op.drop_column("things", "size", schema="things_staging")\n',
        encoding="utf-8",
    )
    small = replace(PLAIN, columns=COLUMNS[:1])
    apply_ddl(postgres, [small], [], root)
    row = postgres.execute("SELECT * FROM things_staging.things_ingested").fetchone()
    assert row is not None
    assert row[1:3] == ("a", 2)
    rights = postgres.execute(
        "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE oid = 'things_staging.things_ingested'::regclass"
        " AND a.grantee = 0"
    ).fetchone()
    assert rights == (1,)


# Names


@pytest.mark.parametrize("name", ["load_id", "line_number", "month", "source_uri", "loaded_at", "flow_run_id", "ctid"])
def test_column_with_the_name_of_a_column_of_tally_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf'column {name}: expected .* Column\("delivered_{name}", .* source="{name}"'):
        replace(MONTHS, columns=(Column(name, TEXT, "Any."),))


def test_two_columns_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="found a second column name"):
        replace(MONTHS, columns=(*COLUMNS, Column("name", DATE, "Any.", source="other")))


@pytest.mark.parametrize("source", ["load_id", "line_number", "month"])
def test_source_column_with_the_name_of_a_column_of_tally_is_loaded(postgres: Connection, source: str) -> None:
    contract = replace(MONTHS, columns=(Column("name", TEXT, "Any.", source=source),))
    apply_ddl(postgres, [contract], [])
    load(postgres, put(source.encode() + b"\nx\n"), contract=contract)
    assert lines(postgres) == [(2, "x")]
