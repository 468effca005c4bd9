"""Samples of parquet: columns of bytes, UUIDs and JSON, moments of all years, and files that Arrow cannot read."""

import io
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.small_sample import sample_of
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.samples.profile import SampleProfile
from tasks.engine.samples.profiler import profile_sample
from tasks.sample_profile import sample_file


def sampled(path: Path) -> tuple[SampleProfile, Any]:
    """Return the profile of a file, and the table of its small sample."""
    file = sample_file(str(path))
    profile = profile_sample(file)
    pipeline = cast("NewPipeline", SimpleNamespace(profile=profile, file_name=path.name))
    _, data, _ = sample_of(file, pipeline)
    return profile, pq.read_table(io.BytesIO(data))


@pytest.mark.parametrize("name", ["value", "person"])
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([b"a", b"\xff", None]), "bytea"),
        (pa.array([b"a", b"\xff", None], pa.large_binary()), "bytea"),
        (pa.array([b"a", b"\xff", None], pa.binary_view()), "bytea"),
        (pa.array([b"a", b"\xff", None], pa.binary(1)), "bytea"),
        (pa.array([bytes(16), bytes(range(16)), None], pa.uuid()), "uuid"),
        (pa.array(['{"a": 1}', "[]", None], pa.json_()), "jsonb"),
        (pa.array(["a", "b", None], pa.string_view()), "text"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_columns_of_each_type_that_loads_are_sampled(
    tmp_path: Path, values: "pa.Array[Any]", kind: str, name: str
) -> None:
    path = tmp_path / "things.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], name: values}), path)
    profile, sample = sampled(path)
    assert [(column.source, column.kind.name) for column in profile.columns] == [("id", "bigint"), (name, kind)]
    assert (profile.rejections, profile.notes) == ((), ())
    assert len(sample) == 3


@pytest.mark.parametrize("has_copy", [True, False])
def test_sample_keeps_int96_moments_of_all_years(tmp_path: Path, *, has_copy: bool) -> None:
    moments = [datetime(1, 1, 1), datetime(9999, 12, 31), None]  # noqa: DTZ001 - INT96 has no zone
    table = pa.table({"id": [1, 2, 3], "at": pa.array(moments, pa.timestamp("us"))})
    path = tmp_path / "things.parquet"
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=has_copy)
    profile, sample = sampled(path)
    assert (profile.columns[1].smallest, profile.columns[1].largest) == (
        "0001-01-01T00:00:00.000000",
        "9999-12-31T00:00:00.000000",
    )
    assert sample["at"].to_pylist() == moments


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1xxxxPAR1", b"PAR1" + bytes(100)])
def test_file_that_arrow_cannot_read_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "things.parquet"
    path.write_bytes(data)
    with pytest.raises(UnreadableObjectError, match=r"things\.parquet cannot be read: "):
        profile_sample(sample_file(str(path)))
