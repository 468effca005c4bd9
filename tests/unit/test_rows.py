"""Validation of rows of CSV and of typed formats."""

import io
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import Validated, Values, batch_of, contract_of, one_column, validated, values_of
from sample_dataset import words_of
from sample_visits import COLUMNS, HEADER, VISITS

from tasks.contracts import Column
from tasks.contracts.arrays import TEXT_ARRAY
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError
from tasks.engine.formats.arrow_columns import string_columns_of_arrays
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.rejected_rows import RejectedRow

ID = "d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d"
WANTED_TIME = "timestamp: expected a date YYYY-MM-DD or an ISO-8601 date-time"
GOOD = {
    "id": ID, "timestamp": "2021-04-01", "email": "a@acme.com", "country": "Palau", "ip": "192.0.2.59", "uri": "index",
    "action": "visit", "tags": "['Mr']",
}  # fmt: skip


def read(data: bytes, name: str = "x.csv") -> list[Validated]:
    return [validated(VISITS, batch) for batch in read_batches(io.BufferedReader(io.BytesIO(data)), name, VISITS)]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def rejected_of(**changed: str) -> list[tuple[int, str | None, str]]:
    line = ",".join(changed.get(column, quoted(GOOD[column])) for column in COLUMNS)
    (result,) = read(HEADER + line.encode() + b"\n")
    assert len(result.rows) + len(result.rejected) == 1
    return [(row.line_number, row.column_name, row.reason) for row in result.rejected]


@pytest.mark.parametrize(
    ("changed", "column", "reason"),
    [
        ({"id": "x"}, "id", "id: expected a UUID such as 123e4567-e89b-12d3-a456-426614174000"),
        ({"id": ""}, "id", "id: expected a UUID such as 123e4567-e89b-12d3-a456-426614174000, found nothing"),
        ({"id": '""'}, "id", "id: expected a UUID such as 123e4567-e89b-12d3-a456-426614174000, found nothing"),
        ({"timestamp": "2021-02-30"}, "timestamp", WANTED_TIME),
        ({"timestamp": "2021-04-01T25:00:00"}, "timestamp", WANTED_TIME),
        ({"timestamp": ""}, "timestamp", f"{WANTED_TIME}, found nothing"),
        ({"ip": "300.1.1.1"}, "ip", "ip: expected an IPv4 or IPv6 address"),
        ({"tags": "Mr"}, "tags", "tags: expected a list of words such as ['a', 'b']"),
        ({"tags": "Mr", "ip": "x", "timestamp": "x"}, "timestamp", WANTED_TIME),
    ],
)  # fmt: skip
def test_row_is_rejected_for_its_first_bad_column(changed: dict[str, str], column: str, reason: str) -> None:
    assert rejected_of(**changed) == [(2, column, reason)]


@pytest.mark.parametrize("column", ["email", "country", "ip", "uri", "action", "tags"])
@pytest.mark.parametrize("value", ["", '""'])
def test_nullable_value_may_be_missing(column: str, value: str) -> None:
    assert rejected_of(**{column: value}) == []


def parquet(**changed: "pa.Array[Any]") -> bytes:
    count = len(next(iter(changed.values()))) if changed else 1
    table = {column: changed.get(column, pa.array([GOOD[column]] * count)) for column in COLUMNS}
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


def from_parquet(**changed: "pa.Array[Any]") -> tuple[Values, list[RejectedRow]]:
    (result,) = read(parquet(**changed), "x.parquet")
    return result.rows, result.rejected


@pytest.mark.parametrize(
    ("values", "instant", "day"),
    [
        (pa.array([date(2021, 4, 1)]), datetime(2021, 4, 1, tzinfo=UTC), date(2021, 4, 1)),
        (pa.array([datetime(2021, 4, 1, 1, 2, 3, 4)]), datetime(2021, 4, 1, 1, 2, 3, 4, UTC), date(2021, 4, 1)),  # noqa: DTZ001 - as written
        (pa.array([1617235200_000000009], pa.timestamp("ns")), datetime(2021, 4, 1, tzinfo=UTC), date(2021, 4, 1)),
        (pa.array([1617235200], pa.timestamp("s")), datetime(2021, 4, 1, tzinfo=UTC), date(2021, 4, 1)),
        (
            pa.array([datetime(2021, 4, 1, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", "Europe/Paris")),
            datetime(2021, 3, 31, 22, tzinfo=UTC),
            date(2021, 4, 1),
        ),
        (pa.array([date(1, 1, 1)]), datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)),
    ],
)
def test_typed_times_are_instants_with_the_date_of_their_zone(
    values: "pa.Array[Any]", instant: datetime, day: date
) -> None:
    rows, rejected = from_parquet(timestamp=values)
    assert ([(row["visited_at"], row["visit_date"]) for row in rows], rejected) == ([(instant, day)], [])


def test_typed_lists_and_null_lists_are_loaded() -> None:
    rows, rejected = from_parquet(tags=pa.array([["a", "b,'\n"], [], None, ["c", None]]))
    assert ([row["tags"] and words_of(row["tags"]) for row in rows], rejected) == (
        [["a", "b,'\n"], [], None, ["c", None]],
        [],
    )


def test_lists_that_are_parts_of_longer_arrays_are_loaded() -> None:
    elements = pa.array(["before", "a", "b", None, "c", "after"], pa.large_string()).slice(1, 4)
    lists = pa.LargeListArray.from_arrays([0, 1, 3, 3, 4], elements).slice(1, 3)
    strings = string_columns_of_arrays(["x"], [lists], len(lists))
    encoded = RowEncoder(one_column(TEXT_ARRAY)).encode(
        Batch(strings, lambda _: [], ColumnMatch({"x": 0}, ("x",), ()), LineNumbers.following(1, len(lists)))
    )
    assert encoded.rejected == []
    found = values_of(one_column(TEXT_ARRAY).columns, encoded.data)
    assert [words_of(row["x"]) for row in found] == [["b", None], [], ["c"]]


def test_typed_values_are_loaded_in_iso_notation() -> None:
    rows, rejected = from_parquet(
        country=pa.array(["a", "b"]).dictionary_encode(), uri=pa.array([7, None]), action=pa.array([True, False])
    )
    found = [(row["country"], row["uri"], row["action"]) for row in rows]
    assert found == [("a", "7", "true"), ("b", None, "false")]
    assert rejected == []


def test_nul_in_a_typed_format_rejects_its_row_alone() -> None:
    rows, rejected = from_parquet(country=pa.array(["a\0", "b", "c"]), tags=pa.array([["x"], ["y\0", "z"], ["w"]]))
    assert [row["country"] for row in rows] == ["c"]
    assert [(row.line_number, row.column_name) for row in rejected] == [(1, "country"), (2, "tags")]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("country", pa.array([["a"]])),
        ("country", pa.array([{"a": 1}])),
        ("country", pa.array([b"\xff"])),
        ("tags", pa.array([[1]])),
        ("id", pa.array([b"\xff" * 16], pa.binary(16))),
        ("timestamp", pa.array([["2021-04-01"]])),
    ],
)
def test_column_with_an_unsupported_type_is_refused(column: str, values: "pa.Array[Any]") -> None:
    with pytest.raises(ContractError, match=f"{column}.*expected text"):
        from_parquet(**{column: values})


def test_batch_without_valid_rows_keeps_the_rejected_rows() -> None:
    (result,) = read(HEADER + b"x\n")
    assert (len(result.rows), [row.reason for row in result.rejected]) == (0, ["expected 8 fields, found 1"])


def test_derived_value_is_memoised_per_distinct_text() -> None:
    asked: list[str | None] = []

    def upper(text: str | None) -> str | None:
        asked.append(text)
        return text.upper() if text and text != "none" else None

    column = Column("x", TEXT, "Any.", derive=upper)
    encoder = RowEncoder(contract_of(column))
    for texts in (["a", "b", "a", "none"], ["b", "none", "c", "a"]):
        rows = encoder.encode(batch_of("x", texts))
        expected = [text.upper() for text in texts if text != "none"]
        assert [row["x"] for row in values_of([column], rows.data)] == expected
        assert rows.invalid == [texts.index("none")]
    assert asked == [None, "a", "b", "none", "c"]


def test_error_of_a_columns_function_is_raised_and_the_next_batch_calls_it_again() -> None:
    answers = iter([ZeroDivisionError("odd"), "even"])

    def fickle(text: str | None) -> str | None:
        if text is None:
            return None
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    column = Column("x", TEXT, "Any.", derive=fickle)
    encoder = RowEncoder(contract_of(column))
    with pytest.raises(ZeroDivisionError, match="odd"):
        encoder.encode(batch_of("x", ["a"]))
    assert [row["x"] for row in values_of([column], encoder.encode(batch_of("x", ["a"])).data)] == ["even"]
