"""Listing a dataset without partitions: one object with a fixed name, or one of several."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sample_dataset import client

from tasks.connections import open_lake
from tasks.contracts import Column, Contract
from tasks.contracts.settings import Setting
from tasks.contracts.types import TEXT
from tasks.engine.errors import ContractError, MissingObjectError
from tasks.extract import objects_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAMES = ("parcels.csv", "parcel.csv")
PREFIX = Setting("PARCELS_PREFIX", "shop/", "Prefix")


def contract(*, is_optional: bool = False) -> Contract:
    columns = (Column("a", TEXT, "A."),)
    return Contract("parcels", "s.parcels", "Parcels.", columns, PREFIX, keys=NAMES, is_optional=is_optional)


@pytest.fixture
def s3(bucket: str) -> "S3Client":
    del bucket  # its variables say where S3 is
    return client()


def found(*, is_optional: bool = False) -> list[str]:
    with open_lake() as lake:
        sources = objects_of(lake, contract(is_optional=is_optional))
    assert {source.partition for source in sources} <= {""}
    return [source.uri.rpartition("/")[2] for source in sources]


@pytest.mark.parametrize("name", NAMES)
def test_object_is_found_under_each_declared_name_alone(s3: "S3Client", bucket: str, name: str) -> None:
    for key in (f"shop/{name}", f"{name}", f"shop/{name}.bak", f"shop/sub/{name}", f"shop/x{name}"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"a\n")
    assert found() == [name]


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_of_two_names_the_one_that_was_written_last_is_first(
    s3: "S3Client", bucket: str, names: tuple[str, ...]
) -> None:
    for name in names:
        s3.put_object(Bucket=bucket, Key=f"shop/{name}", Body=b"a\n")
        time.sleep(1.1)  # S3 knows whole seconds
    assert found() == list(reversed(names))


def test_missing_object_is_an_error_that_names_where_it_should_be(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="shop/parcels_2.csv", Body=b"a\n")
    with pytest.raises(MissingObjectError) as caught:
        found()
    for text in (*(f"s3://{bucket}/shop/{name}" for name in NAMES), "shop/parcels_2.csv"):
        assert text in str(caught.value)


@pytest.mark.usefixtures("bucket")
def test_missing_optional_object_is_no_error() -> None:
    assert found(is_optional=True) == []


@pytest.mark.usefixtures("bucket")
def test_dataset_without_keys_has_no_objects_with_fixed_names() -> None:
    with open_lake() as lake, pytest.raises(ContractError, match="parcels has no objects with fixed names"):
        objects_of(lake, replace(contract(), keys=()))
