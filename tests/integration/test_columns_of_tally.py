"""Objects whose columns have the names of columns that Tally or Postgres adds."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_dataset import DAY_KEY, STRICT, THINGS, load, put, ready_connection

from tasks.contracts import LINE_NUMBER, LOAD_COLUMNS, LOAD_ID, Column, Contract, Partition
from tasks.contracts.types import TEXT
from tasks.engine.schema.ddl import apply_ddl

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

SYSTEM = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax")
OWN = (LOAD_ID, LINE_NUMBER, *LOAD_COLUMNS, "month", *SYSTEM)
"""Every name that a column of the staging table cannot have."""

DELIVERED = replace(
    THINGS,
    columns=tuple(Column(f"delivered_{name}", TEXT, "As delivered.", source=name) for name in OWN),
    key="{year:04d}/month={month:02d}/*",
)
NARROW = replace(THINGS, columns=(Column("name", TEXT, "Name."),), key="{year:04d}/month={month:02d}/*")
VALUES = {name: f"the {name}" for name in OWN}


def as_csv(record: dict[str, str]) -> bytes:
    return f"{','.join(record)}\n{','.join(record.values())}\n".encode()


def as_parquet(record: dict[str, str]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in record.items()}), file)
    return file.getvalue()


WRITERS: dict[str, Callable[[dict[str, str]], bytes]] = {
    "csv": as_csv,
    "json": lambda record: json.dumps([record]).encode(),
    "ndjson": lambda record: json.dumps(record).encode() + b"\n",
    "parquet": as_parquet,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_columns_with_these_names_are_loaded_under_other_names(suffix: str) -> None:
    source = put(WRITERS[suffix](VALUES), f"2021/month=04/part.{suffix}")
    with ready_connection(DELIVERED) as postgres:
        receipt = load(postgres, source, contract=DELIVERED, settings=STRICT)
        assert (receipt.rows_loaded, receipt.unknown_columns) == (1, ())
        cursor = postgres.execute("SELECT * FROM things_staging.things_ingested")
        row = dict(zip([column.name for column in cursor.description or ()], cursor.fetchone() or (), strict=True))
    assert {name: row[f"delivered_{name}"] for name in OWN} == VALUES
    assert (row["load_id"], row["source_uri"], str(row["month"])) == (receipt.load_id, source.uri, "2021-04-01")
    assert row["line_number"] == (2 if suffix == "csv" else 1)


@pytest.mark.parametrize("suffix", WRITERS)
def test_unknown_columns_with_these_names_are_reported_and_not_loaded(suffix: str) -> None:
    source = put(WRITERS[suffix]({"name": "a", **VALUES}), f"2021/month=04/part.{suffix}")
    with ready_connection(NARROW) as postgres:
        receipt = load(postgres, source, contract=NARROW, settings=STRICT)
        row: Any = postgres.execute("SELECT name, load_id, month::text FROM things_staging.things").fetchone()
    assert row == ("a", receipt.load_id, "2021-04-01")
    assert set(receipt.unknown_columns) == set(OWN)


@pytest.mark.parametrize("name", OWN)
def test_column_with_such_a_name_is_refused_with_the_way_to_load_it(name: str) -> None:
    with pytest.raises(ValueError, match=rf'Column\("delivered_{name}", ..., source="{name}"\)'):
        replace(THINGS, columns=(Column(name, TEXT, "As delivered."),))


def test_each_column_has_its_own_source_so_one_may_take_the_name_of_the_other() -> None:
    contract = replace(
        NARROW, columns=(Column("name", TEXT, "Load.", source="load_id"), Column("load", TEXT, "Name.", source="name"))
    )
    with ready_connection(contract) as postgres:
        load(postgres, put(b"name,load_id\na,b\n", "2021/month=04/x.csv"), contract=contract, settings=STRICT)
        assert postgres.execute("SELECT name, load FROM things_staging.things").fetchall() == [("b", "a")]


def test_table_may_have_the_name_of_such_a_column() -> None:
    contracts = [
        replace(NARROW, dataset=name, table=f"month.{name}") for name in ("month", "load_id", "loads", "staged")
    ]
    with ready_connection(*contracts) as postgres:
        for contract in contracts:
            source = put(b"name\na\n", f"2021/month=04/{contract.dataset}.csv")
            assert load(postgres, source, contract=contract, settings=STRICT).rows_loaded == 1
            assert postgres.execute(f"SELECT name, month::text FROM {contract.ingested}").fetchall() == [
                ("a", "2021-04-01")
            ]


LONGEST = {
    None: 63 - len("_ingested"),
    Partition("month", "month"): 63 - len("_ingested"),
    Partition("month", "day"): 63 - len("_2021_04_05"),
    Partition("month", "day", "year"): 63 - len("_ingested"),
}


@pytest.mark.parametrize("partition", LONGEST, ids=["none", "month", "day", "day of a year"])
def test_longest_name_of_a_table_and_a_column_is_loaded_and_a_longer_one_refused(partition: Partition | None) -> None:
    columns = (Column("ä" * 31 + "b", TEXT, "Name.", source="name"),)
    fields: dict[str, Any] = {"key": DAY_KEY} if partition else {"key": None, "keys": ("things.csv",)}

    def named(length: int) -> Contract:
        table = f"things_staging.{'t' * length}"
        return replace(THINGS, table=table, columns=columns, partition=partition, **fields)

    longest = named(LONGEST[partition])
    with ready_connection(longest) as postgres:
        for day in ("2021-04-01", "2021-04-02", "2021-05-01", "2022-04-01") if partition else ("",):
            name = day[:7] if partition and partition.unit == "month" else day
            key = f"{day.replace('-', '/')}/things.csv".lstrip("/")
            assert load(postgres, put(b"name\n" + day.encode() + b"x\n", key, name), contract=longest).rows_loaded == 1
        assert apply_ddl(postgres, [longest], []) == []
    with pytest.raises(ValueError, match=rf"table t+: expected a name of at most {LONGEST[partition]} bytes"):
        named(LONGEST[partition] + 1)
    with pytest.raises(ValueError, match=r"column ä+bc: expected a name of at most 63 bytes, found 64 bytes"):
        replace(longest, columns=(replace(columns[0], name=f"{columns[0].name}c"),))
    with pytest.raises(ValueError, match=r"schema s+: expected a name of at most 63 bytes"):
        replace(longest, table=f"{'s' * 64}.things")
