"""A small operational database with one table, for the tests of the engine."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tasks.contracts.settings import Setting
from tasks.contracts.source import Source
from tasks.contracts.source_table import SourceTable
from tasks.engine.settings import SourceSettings
from tasks.engine.sync.source import Snapshot, open_snapshot

DEPARTMENT = SourceTable("department", "department_id", ("department_id", "department_name", "last_updated"))
OFFICE = Source(
    "office", (DEPARTMENT,), Setting("OFFICE_CSV_BUCKET", "csv", "x"), Setting("OFFICE_PARQUET_BUCKET", "parquet", "x")
)


def create_office(owner: psycopg.Connection, name: str) -> None:
    """Create the table, with one department of this name."""
    owner.execute(
        "CREATE TABLE department (department_id int PRIMARY KEY, department_name text, last_updated timestamp NOT NULL)"
    )
    owner.execute("INSERT INTO department VALUES (1, %s, now())", [name])


@contextmanager
def office_snapshot(dsn: str) -> Iterator[Snapshot]:
    with open_snapshot(SourceSettings.model_validate({"dsn": dsn}), OFFICE.tables) as opened:
        yield opened


def department_names(opened: Snapshot) -> list[str]:
    """Extract the names of the departments."""
    (table,) = opened.tables
    text = b"".join(opened.copy_changed(table, None)).decode()
    return [row["department_name"] for row in csv.DictReader(io.StringIO(text))]
