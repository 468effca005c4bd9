"""A load compares its table with its contract before it reads a row: bytes of one type never become another type."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import pytest
from psycopg import sql
from sample_dataset import DAY_KEY, THINGS, load, put, ready_connection

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import BIGINT, DATE, INTEGER, NUMERIC, TEXT, TIMESTAMP_MS, TIMESTAMPTZ, UUID, ColumnType
from tasks.engine.errors import SchemaDriftError
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

Span = Literal["plain", "month", "year"]
SPANS: Sequence[Span] = ("plain", "month", "year")


def contract_of(*columns: Column, span: Span = "plain") -> Contract:
    partitions = {
        "month": Partition(column="month", unit="month"),
        "year": Partition(column="day", unit="day", span="year"),
    }
    keys = ("things.csv",) if span == "plain" else ()
    key = DAY_KEY if span == "year" else THINGS.key
    return replace(THINGS, columns=columns, partition=partitions.get(span), key=key, keys=keys)


def partition_of(span: Span) -> str:
    return {"plain": "", "month": "2021-04", "year": "2021-04-01"}[span]


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        opened.execute("DROP TABLE things_staging.things CASCADE")
        opened.execute("DELETE FROM ledger.applied_files WHERE path LIKE 'things_staging.%'")
        yield opened


def values(postgres: Connection, column: str = "x") -> list[str | None]:
    rows = postgres.execute(sql.SQL("SELECT {}::text FROM things_staging.things").format(sql.Identifier(column)))
    return [value for (value,) in rows]


def old_table(postgres: Connection, contract: Contract, span: Span, data: bytes) -> None:
    """A table of an earlier contract, with rows."""
    with ready_connection(contract):
        pass
    load(postgres, put(data, partition=partition_of(span)), contract=contract)


X = "x"
CHANGES: dict[str, tuple[ColumnType, str, ColumnType, str]] = {
    "integer to text": (INTEGER, "1998", TEXT, "1998"),
    "numeric of another scale": (NUMERIC(10, 2), "1.25", NUMERIC(12, 4), "1.2555"),
    "integer to date": (INTEGER, "1998", DATE, "1998-01-01"),
    "text to integer": (TEXT, "1998", INTEGER, "1999"),
    "bigint to timestamptz": (BIGINT, "1998", TIMESTAMPTZ, "1998-01-01T00:00:00Z"),
    "bigint to text": (BIGINT, "1998", TEXT, "19981998"),
    "timestamp to bigint": (TIMESTAMP_MS, "1998-01-01T00:00:00", BIGINT, "1"),
    "uuid to text": (UUID, "123e4567-e89b-12d3-a456-426614174000", TEXT, "sixteen letters."),
    "integer to bigint": (INTEGER, "1998", BIGINT, "4294967296"),
}


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("change", CHANGES)
def test_column_of_another_type_is_refused_before_a_row_is_read(postgres: Connection, change: str, span: Span) -> None:
    old, earlier, new, later = CHANGES[change]
    old_table(postgres, contract_of(Column(X, old, "X."), span=span), span, f"x\n{earlier}\n".encode())
    before = values(postgres)
    changed = contract_of(Column(X, new, "X."), span=span)
    source = put(f"x\n{later}\n".encode(), partition=partition_of(span))
    read: list[int] = []
    with pytest.raises(SchemaDriftError, match=r"column x: expected .*, found ") as caught:
        load(postgres, source, contract=changed, force=True, on_progress=lambda _, rows: read.append(rows))
    message = str(caught.value)
    assert 'ALTER COLUMN "x" TYPE' in message
    assert "things_staging.things, column x" in message
    assert message.startswith("things_staging.things: ") == (span == "plain")
    assert (values(postgres), read) == (before, [])


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("columns", "sentence", "statement"),
    [
        ((Column(X, TEXT, "X."), Column("y", TEXT, "Y.")), "column y: expected text, found no such column", "ADD"),
        ((), "column x: expected no such column, found text", "DROP COLUMN"),
        ((Column(X, TEXT, "X.", nullable=False),), "expected NOT NULL, found NULL allowed", "SET NOT NULL"),
    ],
)
def test_column_added_removed_or_of_another_nullability_is_refused(
    postgres: Connection, span: Span, columns: tuple[Column, ...], sentence: str, statement: str
) -> None:
    kept = Column("name", TEXT, "Name.")
    old_table(postgres, contract_of(kept, Column(X, TEXT, "X."), span=span), span, b"name,x\na,b\n")
    source = put(b"name,x,y\na,b,c\n", partition=partition_of(span))
    with pytest.raises(SchemaDriftError) as caught:
        load(postgres, source, contract=contract_of(kept, *columns, span=span))
    assert sentence in str(caught.value)
    assert statement in str(caught.value)


def test_month_that_has_no_table_yet_is_compared_with_the_parent(postgres: Connection) -> None:
    old_table(postgres, contract_of(Column(X, INTEGER, "X."), span="month"), "month", b"x\n1\n")
    source = put(b"x\n1999\n", "5.csv", "2021-05")
    with pytest.raises(SchemaDriftError, match=r"things_staging\.things, column x: expected text, found integer"):
        load(postgres, source, contract=contract_of(Column(X, TEXT, "X."), span="month"))


def test_drift_of_one_partition_alone_is_refused(postgres: Connection) -> None:
    contract = contract_of(Column(X, INTEGER, "X."), span="month")
    old_table(postgres, contract, "month", b"x\n1\n")
    postgres.execute("ALTER TABLE things_staging.things_2021_04 ALTER x SET NOT NULL")
    source = put(b"x\n2\n", "2.csv")
    with pytest.raises(SchemaDriftError, match=r"things_2021_04, column x: expected NULL allowed, found NOT NULL"):
        load(postgres, source, contract=contract)
    load(postgres, put(b"x\n3\n", "5.csv", "2021-05"), contract=contract)


def test_table_with_the_name_of_a_partition_that_is_not_attached_is_refused(postgres: Connection) -> None:
    contract = contract_of(Column(X, INTEGER, "X."), span="month")
    old_table(postgres, contract, "month", b"x\n1\n")
    postgres.execute("ALTER TABLE things_staging.things DETACH PARTITION things_staging.things_2021_04")
    with pytest.raises(SchemaDriftError, match="expected a partition of") as caught:
        load(postgres, put(b"x\n2\n"), contract=contract)
    assert "ATTACH PARTITION" in str(caught.value)


def test_replay_into_a_changed_table_is_refused(postgres: Connection) -> None:
    old = contract_of(Column(X, INTEGER, "X."), span="month")
    old_table(postgres, old, "month", b"x\n1\nabc\n")
    (rejected,) = rejected_loads(postgres, "things", None)
    with pytest.raises(SchemaDriftError, match="column x: expected text, found integer"):
        replay_load(postgres, contract_of(Column(X, TEXT, "X."), span="month"), rejected)
    assert rejected_loads(postgres, "things", None) == [rejected]


def test_columns_in_another_order_are_the_same_table(postgres: Connection) -> None:
    one, other = Column(X, INTEGER, "X."), Column("y", TEXT, "Y.")
    old_table(postgres, contract_of(one, other, span="month"), "month", b"x,y\n1,a\n")
    load(postgres, put(b"x,y\n2,b\n"), contract=contract_of(other, one, span="month"))
    assert values(postgres, "y") == ["b"]


def test_rejected_rows_are_parsed_by_the_types_of_their_table(postgres: Connection) -> None:
    contract = contract_of(Column(X, INTEGER, "X."))
    postgres.execute("DROP VIEW ledger.open_rejections")  # it reads the column
    postgres.execute("ALTER TABLE ledger.rejected_rows ALTER line_number TYPE numeric(20, 2)")
    old_table(postgres, contract, "plain", b"x\n1\nabc\n")
    assert postgres.execute("SELECT line_number::text, raw FROM ledger.rejected_rows").fetchall() == [("3.00", b"abc")]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("statement", ["DROP TABLE", "TRUNCATE"])
def test_object_whose_rows_somebody_removed_is_loaded_again(postgres: Connection, span: Span, statement: str) -> None:
    contract = contract_of(Column(X, INTEGER, "X."), span=span)
    source = put(b"x\n1\n", partition=partition_of(span))
    with ready_connection(contract):
        load(postgres, source, contract=contract)
    assert load(postgres, source, contract=contract).status == "unchanged"
    table = {"plain": "things", "month": "things_2021_04", "year": "things_2021"}[span]
    if span != "plain" or statement == "TRUNCATE":  # the DDL step makes a dropped parent again
        postgres.execute(f"{statement} things_staging.{table}".encode())
        assert load(postgres, source, contract=contract).status == "replaced"
    assert values(postgres) == ["1"]
