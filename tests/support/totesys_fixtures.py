"""Fixtures of the tests of `totesys`: its operational database and its two stores."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local import embedded
from deployments.samples.totesys import create_source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class TotesysSource:
    """A Totesys database.

    Attributes:
        owner_dsn: DSN of the owner, for `fill_source`, `change_source` and other changes.
        reader_dsn: DSN of a role that may only read the tables; the value of `TOTESYS_DSN`.
    """

    owner_dsn: str = field(repr=False)
    reader_dsn: str = field(repr=False)


@pytest.fixture(scope="session")
def _totesys_reader(services: embedded.Services) -> Iterator[tuple[str, str]]:
    name, password = f"totesys_reader_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    role = sql.Identifier(name)
    with psycopg.connect(services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    yield name, password
    if services.postgres is None:
        with psycopg.connect(services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def totesys_source(
    new_database: Callable[[], AbstractContextManager[str]],
    _totesys_reader: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TotesysSource]:
    """This test's own Totesys database, with empty tables."""
    user, password = _totesys_reader
    with new_database() as owner_dsn:
        with psycopg.connect(owner_dsn, autocommit=True) as connection:
            create_source(connection, reader=user)
        reader_dsn = make_conninfo(owner_dsn, user=user, password=password)
        monkeypatch.setenv("TOTESYS_DSN", reader_dsn)
        yield TotesysSource(owner_dsn, reader_dsn)


@dataclass(frozen=True)
class TotesysStores:
    """Names of the buckets of the CSV and the parquet store."""

    csv: str
    parquet: str


@pytest.fixture
def totesys_stores(
    new_bucket: Callable[[], AbstractContextManager[str]],
    lake_administrator: "S3Client",
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TotesysStores]:
    """The two empty, prepared stores of `totesys`; sets `TOTESYS_CSV_BUCKET` and `TOTESYS_PARQUET_BUCKET`."""
    with new_bucket() as csv, new_bucket() as parquet:
        lake_administrator.put_object(Bucket=csv, Key="input/setup_success_csv_input.txt")
        lake_administrator.put_object(Bucket=parquet, Key="input/setup_success_parquet_input.txt")
        monkeypatch.setenv("TOTESYS_CSV_BUCKET", csv)
        monkeypatch.setenv("TOTESYS_PARQUET_BUCKET", parquet)
        yield TotesysStores(csv, parquet)
