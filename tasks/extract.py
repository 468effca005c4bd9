"""List what the lake holds for a partition."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl
from prefect.logging import get_run_logger

from tasks.connections import open_lake, run_settings
from tasks.contracts import Contract
from tasks.contracts.keys import KeyTemplate, partition_name, partition_value
from tasks.engine.errors import ContractError, MissingObjectError
from tasks.engine.lake import Lake
from tasks.engine.profiler import Profile, read_profile
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import RunSettings
from tasks.policy import step

NEAREST = 3


def key_template(contract: Contract, settings: RunSettings) -> KeyTemplate:
    """Template of the keys of a dataset's objects, as it is configured."""
    return KeyTemplate(getattr(settings, contract.prefix_setting), getattr(settings, contract.key_setting))


def objects_of(lake: Lake, contract: Contract, settings: RunSettings, partition: str) -> list[ObjectRef]:
    """Objects of one partition, in the order of their keys.

    Raises:
        MissingObjectError: There is none; the message names the bucket, the key and the nearest partitions that exist.
    """
    if contract.partition is None:
        raise ContractError(f"dataset {contract.dataset} has no partitions: expected none, asked for {partition}")
    unit = contract.partition.unit
    value = partition_value(partition)
    template = key_template(contract, settings)
    found = [
        ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, partition)
        for stored in lake.list(template.listing_prefix(value, unit))
        if (day := template.date_of(stored.key)) and partition_name(day, unit) == partition
    ]
    if found:
        return found
    days = (template.date_of(stored.key) for stored in lake.list(template.listing_prefix(None)))
    existing = {partition_name(day, unit) for day in days if day}
    nearest = sorted(existing, key=lambda name: (_distance(partition_value(name), value), name))[:NEAREST]
    raise MissingObjectError(
        f"no object for {partition}: expected {lake.uri(template.key_of(value))}, found none in bucket {lake.bucket};"
        f" the nearest that exist: {', '.join(sorted(nearest)) or 'none at all, check the prefix and the key'}."
        f" Run again when it has been delivered, or run another {unit}"
    )


def _distance(one: date, other: date) -> int:
    return abs((one - other).days)


@contextmanager
def open_source(source: str) -> Iterator[io.BufferedReader]:
    """A file over `s3://bucket/key`, pinned to its present version, or over a local path.

    Raises:
        MissingObjectError: There is no such object or file.
    """
    if not source.startswith("s3://"):
        path = Path(source)
        if not path.is_file():
            raise MissingObjectError(f"no file {path.absolute()}: expected s3://bucket/key or the path of a local file")
        with path.open("rb") as file:
            yield file
        return
    bucket, _, key = source.removeprefix("s3://").partition("/")
    with open_lake(bucket) as lake:
        stored = lake.head(key)
        with lake.open(ObjectRef(source, stored.version, stored.size_bytes, ""), lambda _: None) as file:
            yield file


@step(task_run_name="read_top_values {source}")
def read_top_values(contract: Contract, questions: Mapping[str, pl.Expr], source: str, top: int) -> Profile:
    """Stream one object or local file and count its most frequent values, without a warehouse."""
    with open_source(source) as file:
        profile = read_profile(file, source, contract, questions, top)
    get_run_logger().info(
        "Read %s: %s rows, %s rejected", source, f"{profile.rows_read:,}", f"{profile.rows_rejected:,}"
    )
    return profile


@step(task_run_name="list_objects {contract.dataset} {partition}")
def list_objects(contract: Contract, partition: str) -> list[ObjectRef]:
    """List the objects of one partition and the version that each has now."""
    with open_lake() as lake:
        found = objects_of(lake, contract, run_settings(), partition)
    for source in found:
        get_run_logger().info("Found %s, %s bytes, version %s", source.uri, f"{source.size_bytes:,}", source.version)
    return found
