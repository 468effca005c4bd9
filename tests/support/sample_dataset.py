"""A small dataset for the tests of the engine: its contract, its objects and its rows in the warehouse."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
import psycopg

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.settings import Setting, month_key
from tasks.contracts.types import DATE, TEXT
from tasks.engine.lake.client import Lake
from tasks.engine.load.loader import load_object
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import LakeSettings, RunSettings, read_lake, read_warehouse
from tasks.engine.warehouse.tables import Connection, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THINGS = Contract(
    dataset="things",
    table="things_staging.things",
    description="One row per thing.",
    columns=(
        Column("name", TEXT, "Name.", nullable=False),
        Column("seen_date", DATE, "Day.", source="day"),
    ),
    prefix=Setting("THINGS_PREFIX", "", "Prefix of the keys"),
    key=Setting("THINGS_KEY", "{year:04d}/{month:02d}/things.csv", "Template of the keys", month_key),
    partition=Partition(column="month", unit="month"),
)
DAY_KEY = "{year:04d}/{month:02d}/{day:02d}/things.csv"
"""The template of the keys if a partition is a day."""

HEADER = b"name,day\n"
STRICT = RunSettings(max_rejected_rows=0, max_rejected_share=0)
TOLERANT = RunSettings(max_rejected_rows=1_000_000)


def no_block() -> Mapping[str, Any]:
    raise AssertionError("the environment names everything")


def lake() -> Lake:
    """Return the lake of the environment. Buckets share a client, because creating a client is slow."""
    settings = read_lake(os.environ, no_block)
    own = copy(_lake(settings.model_copy(update={"bucket": "shared"})))
    own.bucket = settings.bucket
    return own


@lru_cache(maxsize=4)
def _lake(settings: LakeSettings) -> Lake:
    return Lake(settings)


@lru_cache(maxsize=2)
def _client(endpoint_url: str) -> "S3Client":
    return boto3.Session().client("s3", endpoint_url=endpoint_url)


def client() -> "S3Client":
    """Return the S3 client of the environment, with the credentials of the flows."""
    return _client(os.environ["AWS_ENDPOINT_URL"])


@contextmanager
def connection(name: str = "test") -> Iterator[Connection]:
    with connect(read_warehouse(os.environ, no_block), name) as opened:
        yield opened


@contextmanager
def ready_connection(*contracts: Contract) -> Iterator[Connection]:
    """Open a connection to a warehouse with the ledger and the staging tables of some contracts."""
    with connection() as opened:
        apply_ddl(opened, contracts or [THINGS], [])
        yield opened


def put(data: bytes, key: str = "2021/04/things.csv", partition: str = "2021-04") -> ObjectRef:
    """Write an object to the lake, and return it as a listing shows it."""
    client().put_object(Bucket=os.environ["LAKE_BUCKET"], Key=key, Body=data)
    return ref(key, partition)


def ref(key: str = "2021/04/things.csv", partition: str = "2021-04") -> ObjectRef:
    stored = lake().head(key)
    return ObjectRef(lake().uri(key), stored.version, stored.size_bytes, partition)


def load(
    warehouse: Connection,
    source: ObjectRef,
    *,
    contract: Contract = THINGS,
    settings: RunSettings = TOLERANT,
    force: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    flow_run_id: str | None = None,
) -> LoadReceipt:
    return load_object(
        warehouse,
        lake(),
        contract,
        source,
        settings,
        force=force,
        on_progress=on_progress,
        flow_run_id=flow_run_id,
    )


def state(warehouse: psycopg.Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that a load may change, except timestamps."""
    queries = {
        "things": "SELECT month::text, load_id, name, seen_date::text FROM things_staging.things ORDER BY 1, 2, 3, 4",
        "loads": "SELECT load_id, partition, source_uri, source_version, size_bytes, status, rows_read, rows_loaded,"
        " rows_rejected, superseded_by FROM ledger.loads ORDER BY 1",
        "rejected": "SELECT load_id, line_number, column_name, reason, raw FROM ledger.rejected_rows ORDER BY 1, 2",
    }
    return {name: warehouse.execute(query).fetchall() for name, query in queries.items()}


def names(warehouse: psycopg.Connection[Any], partition: str = "2021-04") -> list[str]:
    """Return the sorted names of the things in a partition."""
    rows = warehouse.execute(
        'SELECT name FROM things_staging.things WHERE month = %s ORDER BY name COLLATE "C"', [f"{partition}-01"]
    )
    return [name for (name,) in rows]


def words_of(value: object) -> list[str | None]:
    """Return the elements of a text array in binary form."""
    assert isinstance(value, bytes)
    dimensions, has_null, oid = struct.unpack_from("!iii", value)
    assert (oid, dimensions) in {(25, 0), (25, 1)}
    if not dimensions:
        assert (has_null, value[12:]) == (0, b"")
        return []
    count, lower = struct.unpack_from("!ii", value, 12)
    words: list[str | None] = []
    place = 20
    for _ in range(count):
        (length,) = struct.unpack_from("!i", value, place)
        place += 4 + max(length, 0)
        words.append(None if length < 0 else value[place - length : place].decode())
    assert (lower, has_null, place) == (1, None in words, len(value))
    return words
