"""Parquet timestamps that a writer stored in another unit than its own: INT96, and units that the writer converted."""

import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import validated

from tasks.contracts import Column, Contract
from tasks.contracts.types import TIMESTAMPTZ
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.reader import read_batches

CONTRACT = Contract("x", "s.x", "x", (Column("at", TIMESTAMPTZ, "Moment."),), "p")
MOMENTS = ["0001-01-01T00:00:00", "1600-05-05T01:02:03.456", "2021-04-01T10:20:30.123", None, "9999-12-31T12:59:59.999"]
"""Nanoseconds hold the years from 1678 to 2261 only."""


def moments(unit: Any, zone: str | None = None) -> "pa.Array[Any]":
    texts = MOMENTS[2:4] if unit == "ns" else MOMENTS
    stored = pa.array([one and datetime.fromisoformat(one) for one in texts], pa.timestamp("us"))
    return stored.cast(pa.timestamp(unit, zone), safe=False)


def written(values: "pa.Array[Any]", **options: Any) -> bytes:
    """Write moments between columns of lists, whose leaves count in the file."""
    lists = pa.array([[{"a": 1, "b": 2}]] * len(values))
    sink = io.BytesIO()
    pq.write_table(pa.table({"before": lists, "at": values, "after": lists}), sink, **options)
    return sink.getvalue()


def loaded(data: bytes) -> list[datetime | None]:
    batches = list(read_batches(io.BufferedReader(io.BytesIO(data)), "x.parquet", CONTRACT))
    parts = [validated(CONTRACT, batch) for batch in batches]
    assert [bad for part in parts for bad in part.rejected] == []
    return [row["at"] for part in parts for row in part.rows]


@pytest.mark.parametrize("has_copy", [True, False])
def test_int96_moments_of_all_years_keep_their_value(*, has_copy: bool) -> None:
    data = written(moments("us"), use_deprecated_int96_timestamps=True, store_schema=has_copy)
    assert loaded(data) == [one and datetime.fromisoformat(one).replace(tzinfo=UTC) for one in MOMENTS]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
@pytest.mark.parametrize(
    ("unit", "options"),
    [
        ("us", {"coerce_timestamps": "ms"}),
        ("ns", {"coerce_timestamps": "ms"}),
        ("ns", {"coerce_timestamps": "us"}),
        ("ns", {"version": "1.0"}),
        ("ns", {"version": "2.4"}),
        ("s", {"use_deprecated_int96_timestamps": True}),
        ("ms", {"use_deprecated_int96_timestamps": True}),
        ("ns", {"use_deprecated_int96_timestamps": True}),
    ],
    ids=str,
)
def test_moments_that_the_writer_converted_are_read(unit: str, options: dict[str, Any], zone: str | None) -> None:
    """With pyarrow up to version 12, pandas converts its nanoseconds into microseconds."""
    values = moments(unit, zone)
    assert loaded(written(values, **options)) == values.cast(pa.timestamp("us", "UTC")).to_pylist()


UNITS = {"ms": 0x1C, "us": 0x2C, "ns": 0x3C}
"""The byte of each unit in the footer."""


@pytest.mark.parametrize(("unit", "other"), [("ns", "us"), ("ns", "ms"), ("us", "ns"), ("ms", "ns")])
def test_unit_that_a_flipped_bit_changed_is_refused(unit: str, other: str) -> None:
    data = written(moments(unit))
    stored, damaged = (bytes([0x8C, 0x12, 0x1C, UNITS[one]]) for one in (unit, other))
    assert data.count(stored) == 1
    with pytest.raises(UnreadableObjectError, match="by Arrow's schema"):
        loaded(data.replace(stored, damaged))
