"""Values of every type are parsed, copied into a real Postgres and read back."""

import ipaddress
import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import DATE, INET, TEXT, TIMESTAMPTZ, UUID
from tasks.contracts.words import WORDS
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import match_columns
from tasks.engine.formats.frames import string_columns_of
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.rows import Rows
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.copy import CopyEncoder, copy_in
from tasks.engine.warehouse.partitions import Target
from tasks.engine.warehouse.tables import Connection, connect, staging_ddl

pytestmark = pytest.mark.ledger

VALUES = Contract(
    dataset="values",
    table="values_staging.values",
    description="One row per value.",
    columns=(
        *(Column(f"{type_.postgres}_value", type_, "value") for type_ in (UUID, TIMESTAMPTZ, DATE, INET, TEXT)),
        Column("words", WORDS, "words"),
    ),
    partition=Partition("month", "month"),
)
MONTH = date(2021, 4, 1)
FROM_DATABASE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
Row = tuple[Any, ...]

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
offsets = st.integers(-15 * 60, 15 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# One day away from both ends of the calendar, because an offset may move a time beyond the end.
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=offsets)  # noqa: DTZ001 - bounds have no zone
rows = st.tuples(
    st.none() | st.uuids(),
    st.none() | moments,
    st.none() | st.dates(),
    st.none() | st.ip_addresses(),
    st.none() | text,
    st.none() | st.lists(text, max_size=5),
)


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings.model_validate({"dsn": database}), "test") as opened:
        opened.execute(staging_ddl(VALUES))
        opened.execute(
            "CREATE TABLE values_staging.april PARTITION OF values_staging.values FOR VALUES IN ('2021-04-01')"
        )
        yield opened


def stored(postgres: Connection, given_rows: list[Row]) -> list[Row]:
    """Parse and copy rows of text, and return the rows that the server has stored."""
    spelt = [
        [None if value is None else value if isinstance(value, str) else _spelt(value) for value in row]
        for row in given_rows
    ]
    with postgres.transaction(force_rollback=True):
        postgres.execute("TRUNCATE values_staging.values")  # in a new file, rows have the order of their arrival
        assert copied(
            postgres, CopyEncoder(VALUES, Target(VALUES.table, {"month": MONTH, "load_id": 7})), batch_of(*spelt)
        ) == len(given_rows)
        assert set(postgres.execute("SELECT DISTINCT month, load_id FROM values_staging.values")) <= {(MONTH, 7)}
        found = postgres.execute("SELECT * FROM values_staging.values ORDER BY ctid").fetchall()
    assert [row[-1] for row in found] == list(range(2, len(found) + 2))
    return [row[2:-1] for row in found]


def batch_of(*rows: Sequence[object]) -> Batch:
    names = [column.name for column in VALUES.columns]
    types: dict[str, Any] = dict.fromkeys(names, pl.String)
    if any(isinstance(row[-1], list) for row in rows):
        types["words"] = pl.List(pl.String)
    columns = match_columns(VALUES, names, "values")
    strings = string_columns_of(pl.DataFrame(rows, schema=types, orient="row"))
    return Batch(strings, lambda _: [], columns, LineNumbers.of(range(2, len(rows) + 2)))


def copied(postgres: Connection, encoder: CopyEncoder, *batches: Batch) -> int:
    """Copy batches, and return the reported numbers of sent rows."""
    counts: list[int] = []
    copy_in(postgres, encoder, map(encoder.encode, batches), counts.append)
    return sum(counts)


def _spelt(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


@FROM_DATABASE
@given(st.lists(rows, max_size=30))
def test_values_of_every_type_are_read_back_equal(postgres: Connection, values: list[Row]) -> None:
    assert stored(postgres, values) == values


def test_extreme_values_are_read_back_equal(postgres: Connection) -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    planes = "".join(chr(plane << 16 | 0xFFFD) for plane in range(17))
    values: list[Row] = [
        (uuid.UUID(int=0), first, date.min, ipaddress.ip_address("0.0.0.1"), "", []),
        (uuid.UUID(int=2**128 - 1), last, date.max, ipaddress.ip_address("255.255.255.255"), planes, ["", " ", ","]),
        (None, datetime(2000, 1, 1, tzinfo=UTC), date(2000, 1, 1), ipaddress.ip_address("::"), "\n\r\t\\\"',{}",
         [planes]),
        (None, datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None, ipaddress.ip_address("::ffff:192.0.2.1"),
         "\\N", ['a"b', "it's", "{x,y}", "NULL", "null", "\\", "\n"]),
        (None, None, None, None, "x" * 1_000_000, ["y" * 100_000] * 3),
        (None, None, None, None, None, None),
    ]  # fmt: skip
    assert stored(postgres, values) == values


def test_text_is_kept_byte_for_byte(postgres: Connection) -> None:
    texts = ["Å", "A\u030a", "\ufeff", "\u2028", "e\u0301\u0327", "\x01\x1b\x7f\x80"]
    assert [row[4] for row in stored(postgres, [(None, None, None, None, value, None) for value in texts])] == texts


NOTHING = (None,) * len(VALUES.columns)


def test_missing_word_of_a_typed_list_is_null(postgres: Connection) -> None:
    lists = [["a", None, ""], None, [], [None], ["é" * 200] * 200]
    batch = batch_of(*((*NOTHING[:-1], words) for words in lists))
    assert copied(postgres, CopyEncoder(VALUES, Target(VALUES.table, {"month": MONTH, "load_id": 1})), batch) == len(
        lists
    )
    found = postgres.execute("SELECT words FROM values_staging.values ORDER BY ctid").fetchall()
    assert [words for (words,) in found] == lists


def test_batches_and_empty_batches_are_written_by_one_copy(postgres: Connection) -> None:
    none, one = batch_of(), batch_of((*NOTHING[:4], "a", None))
    encoder = CopyEncoder(VALUES, Target(VALUES.table, {"month": MONTH, "load_id": 1}))
    assert copied(postgres, encoder) == 0
    assert copied(postgres, encoder, none) == 0
    assert copied(postgres, encoder, none, one, none, one) == 2
    assert postgres.execute("SELECT text_value FROM values_staging.values").fetchall() == [("a",)] * 2


def test_failing_source_of_rows_ends_the_copy_and_keeps_the_connection_usable(postgres: Connection) -> None:
    encoder = CopyEncoder(VALUES, Target(VALUES.table, {"month": MONTH, "load_id": 1}))

    def rows() -> Iterator[Rows]:
        yield encoder.encode(batch_of(NOTHING))
        raise json.JSONDecodeError("the source failed", "", 0)

    with pytest.raises(json.JSONDecodeError):
        copy_in(postgres, encoder, rows(), lambda _: None)
    assert postgres.execute("SELECT count(*) FROM values_staging.values").fetchone() == (0,)


def test_parents_see_the_rows_of_partitions_that_are_attached_later(postgres: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute("INSERT INTO values_staging.values (month, load_id) VALUES ('2021-05-01', 1)")
