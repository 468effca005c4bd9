"""Sources of a profile: objects of the lake and local files."""

from pathlib import Path

import pytest
from sample_dataset import client, lake, put

from tasks.engine.errors import MissingObjectError
from tasks.events.profile_sources import open_object

pytestmark = pytest.mark.usefixtures("bucket")


def test_source_is_opened_from_the_lake_pinned_to_its_version() -> None:
    source = put(b"one")
    with open_object(source.uri) as file:
        assert file.read() == b"one"
    with pytest.raises(MissingObjectError, match=r"no object s3://.*nowhere"), open_object(lake().uri("nowhere")):
        pass


def test_parquet_is_opened_as_a_seekable_file() -> None:
    for key, is_seekable in (("x.parquet", True), ("x.csv", False)):
        with open_object(put(b"one", key).uri) as file:
            assert file.seekable() is is_seekable


def test_source_is_opened_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"local")
    with open_object(str(path)) as file:
        assert file.read() == b"local"
    with pytest.raises(MissingObjectError, match=f"no file {path}.bak"), open_object(f"{path}.bak"):
        pass


def test_source_of_another_bucket_is_opened_with_the_same_credentials() -> None:
    put(b"one")
    here = lake().bucket
    other = f"{here}-other"
    with pytest.raises(MissingObjectError, match=f"s3://{other}/2021"), open_object(f"s3://{other}/2021/04/things.csv"):
        pass
    assert client().list_objects_v2(Bucket=here)["KeyCount"] == 1
