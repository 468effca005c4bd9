"""A changing Totesys database in Python, its runs into a warehouse, and the expected star."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

import polars as pl
from sample_dataset import client, lake

from tasks.contracts import Contract
from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.engine.build.builder import build_tables
from tasks.engine.load.loader import load_object
from tasks.engine.receipts import BuildReceipt, DeletionReceipt, LoadReceipt, ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.sync.deletions import close_deleted, reopen_returned
from tasks.engine.warehouse.tables import Connection
from tasks.totesys.currencies import currency_names

Row = dict[str, Any]
Version = tuple[int, datetime]

CONTRACTS = {contract.table.split(".")[1]: contract for contract in TOTESYS}
SCHEMAS = ["totesys_core", "totesys_warehouse"]
DATASETS = [contract.dataset for contract in TOTESYS]
REFERENCES = {
    "sales_order": {
        "design_id": "design",
        "staff_id": "staff",
        "counterparty_id": "counterparty",
        "currency_id": "currency",
        "agreed_delivery_location_id": "address",
    },
    "purchase_order": {
        "staff_id": "staff",
        "counterparty_id": "counterparty",
        "currency_id": "currency",
        "agreed_delivery_location_id": "address",
    },
    "payment": {
        "transaction_id": "transaction",
        "counterparty_id": "counterparty",
        "currency_id": "currency",
        "payment_type_id": "payment_type",
    },
}
"""Dimensions of the facts."""
DAYS = {
    "sales_order": ("agreed_payment_date", "agreed_delivery_date"),
    "purchase_order": ("agreed_delivery_date", "agreed_payment_date"),
    "payment": ("payment_date",),
}
TYPES = {
    "integer": pl.Int64,
    "numeric(10,2)": pl.Decimal(10, 2),
    "timestamp(3)": pl.Datetime("ms"),
    "boolean": pl.Boolean,
    "date": pl.String,
    "text": pl.String,
}
NAMES = {"GBP": "Pound Sterling", "USD": "US Dollar", "EUR": "Euro"}
START = datetime.fromisoformat("2024-02-28T23:59:59.990")


@dataclass
class Source:
    """Tables of rows by id; every change moves the clock forward by some milliseconds or days."""

    random: Random
    tables: dict[str, dict[int, Row]] = field(default_factory=lambda: {name: {} for name in CONTRACTS})
    changed: set[tuple[str, int]] = field(default_factory=set)
    now: datetime = START
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def _tick(self) -> datetime:
        self.now += timedelta(milliseconds=self.random.choice([1, 1, 7, 50, 86_400_000]))
        return self.now

    def put(self, table: str, row_id: int, *, at: datetime | None = None, **values: Any) -> None:
        """Insert a row, or change it, now or at another time."""
        now = at or self._tick()
        old = self.tables[table].get(row_id, {"created_at": now})
        row = {column.name: None for column in CONTRACTS[table].columns} | self._any(table) | old
        self.tables[table][row_id] = row | values | {f"{table}_id": row_id, "last_updated": now}
        self.changed.add((table, row_id))

    def delete(self, table: str, row_id: int) -> Row:
        self.changed.discard((table, row_id))
        return self.tables[table].pop(row_id)

    def restore(self, table: str, row: Row) -> None:
        """Restore a deleted row with its old time of change."""
        self.tables[table][row[f"{table}_id"]] = row
        self.changed.add((table, row[f"{table}_id"]))

    def _any(self, table: str) -> Row:
        """Neutral values; references point to ids from 1 to 3, which may not exist."""
        values: Row = {}
        for column in CONTRACTS[table].columns:
            kind, number = column.type.postgres, next(self._numbers)
            if column.name in REFERENCES.get(table, {}) or column.name in ("legal_address_id", "department_id"):
                values[column.name] = self.random.randint(1, 3)
            elif kind == "integer":
                values[column.name] = number
            elif kind == "numeric(10,2)":
                values[column.name] = Decimal(number * 37).scaleb(-2)
            elif kind == "boolean":
                values[column.name] = bool(number % 2)
            elif kind == "date":
                values[column.name] = str(date(2024, 1, 1) + timedelta(days=self.random.randint(0, 400)))
            elif kind == "text":
                values[column.name] = f'any "{number}",\nnaïve'
        if table == "currency":
            values["currency_code"] = self.random.choice([*NAMES, "???"])
        if table == "payment" and self.random.random() < 0.3:
            values["payment_date"] = None
        return values

    def change(self) -> None:
        """Make a random change."""
        table = self.random.choice([*CONTRACTS, *REFERENCES, *REFERENCES, *REFERENCES])
        rows = self.tables[table]
        row_id = self.random.randint(1, 4 if table in REFERENCES else 3)
        if table in REFERENCES and row_id in rows and self.random.random() < 0.2:
            self.delete(table, row_id)
        elif row_id in rows:
            last = rows[row_id]["last_updated"]
            # With a new time, without a new time, or with an earlier time.
            at = self.random.choice(
                [None, None, None, None, last, last - timedelta(milliseconds=self.random.randint(1, 9))]
            )
            self.put(table, row_id, at=at, **self._any(table))
        else:
            self.put(table, row_id)


@dataclass
class Facts:
    """Versions of one table's rows: loaded versions, waiting versions, and the closed ones among them.

    Each version has the number of the last run that delivered it. The last delivered version is the current one.
    """

    versions: dict[Version, tuple[int, Row]] = field(default_factory=dict)
    waiting: dict[Version, tuple[int, Row]] = field(default_factory=dict)
    closed: set[Version] = field(default_factory=set)
    closed_waiting: set[Version] = field(default_factory=set)

    def last(self) -> dict[int, Version]:
        """The last delivered version of each id."""
        return {version[0]: version for version in sorted(self.versions, key=lambda version: self.versions[version][0])}

    def current(self) -> list[Row]:
        """Rows of the last delivered versions that are not closed."""
        return [self.versions[version][1] for version in self.last().values() if version not in self.closed]


@dataclass
class Model:
    """The expected warehouse: every delivered version, and the latest row of each dimension."""

    dimensions: dict[str, dict[int, Row]] = field(default_factory=lambda: {name: {} for name in CONTRACTS})
    facts: dict[str, Facts] = field(default_factory=lambda: {name: Facts() for name in REFERENCES})
    _runs: Iterator[int] = field(default_factory=count)

    def arrive(self, changed: dict[str, list[Row]]) -> None:
        """A run delivers rows. A version with all its references is loaded; any other version waits."""
        run = next(self._runs)
        for table in changed.keys() - REFERENCES.keys():
            self.dimensions[table] |= {row[f"{table}_id"]: row for row in changed[table]}
        for table, facts in self.facts.items():
            arrived = {(row[f"{table}_id"], row["last_updated"]): (run, row) for row in changed.get(table, [])}
            facts.closed -= arrived.keys()
            facts.closed_waiting -= arrived.keys()
            decided, facts.waiting = facts.waiting | arrived, {}
            for version, (number, row) in decided.items():
                if any(row[column] not in self.dimensions[name] for column, name in REFERENCES[table].items()):
                    facts.waiting[version] = (number, row)
                    continue
                if version in facts.closed_waiting and version not in facts.versions:
                    facts.closed.add(version)
                facts.versions[version] = (number, row)
                facts.closed_waiting.discard(version)

    def compare(self, table: str, keys: set[int]) -> None:
        """Close the current and the waiting versions of deleted rows."""
        facts = self.facts[table]
        facts.closed |= {version for row_id, version in facts.last().items() if row_id not in keys}
        facts.closed_waiting |= {version for version in facts.waiting if version[0] not in keys}


class Killed(Exception):
    """The process of a run died."""


@dataclass
class Warehouse:
    """Runs of a source into a warehouse, step by step; a run can die after any step."""

    connection: Connection
    run_number: int = 0
    builds: list[BuildReceipt] = field(default_factory=list)

    def land(self, table: str, rows: list[Row]) -> ObjectRef:
        contract = CONTRACTS[table]
        frame = pl.DataFrame(rows, {column.name: TYPES[column.type.postgres] for column in contract.columns})
        body, key = io.BytesIO(), f"input/{self.run_number}/{table}.parquet"
        frame.write_parquet(body)
        client().put_object(Bucket=os.environ["LAKE_BUCKET"], Key=key, Body=body.getvalue())
        stored = lake().head(key)
        return ObjectRef(lake().uri(key), stored.version, stored.size_bytes, "")

    def load(self, contract: Contract, source: ObjectRef) -> LoadReceipt:
        return load_object(self.connection, lake(), contract, source, RunSettings(max_rejected_rows=0))

    def build(self, schema: str) -> None:
        self.builds += build_tables(
            self.connection, schema, currency_names(), partition="", datasets=DATASETS, flow_run_id=None
        )

    def run(self, landed: dict[str, ObjectRef], killed_at: int | None = None) -> None:
        """All steps of a run.

        Raises:
            Killed: Before the step of this number.
        """
        steps = count()
        self.builds = []

        def live() -> None:
            if next(steps) == killed_at:
                raise Killed

        loads = {}
        for table, source in landed.items():
            live()
            loads[table] = self.load(CONTRACTS[table], source)
        for schema in SCHEMAS:
            live()
            self.build(schema)
        for history in HISTORIES:
            live()
            if history.source_table in loads:
                reopen_returned(self.connection, history, loads[history.source_table].load_id)

    def sync(self, rows: dict[str, list[Row]], killed_at: int | None = None) -> None:
        """Run with some changed rows; the next run completes a killed run."""
        self.run_number += 1
        landed = {table: self.land(table, changed) for table, changed in rows.items()}
        try:
            self.run(landed, killed_at)
        except Killed:
            self.run(landed)

    def compare(self, table: str, keys: set[int], checked_at: datetime | None = None) -> DeletionReceipt:
        history = next(history for history in HISTORIES if history.source_table == table)
        lines = [b"id\n", *(b"%d\n" % key for key in sorted(keys))]
        return close_deleted(self.connection, history, lines, checked_at or datetime.now(UTC))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()


def changes_of(source: Source) -> dict[str, list[Row]]:
    """Rows that changed since the last call, by table."""
    changed: dict[str, list[Row]] = {}
    for table, row_id in sorted(source.changed):
        changed.setdefault(table, []).append(source.tables[table][row_id])
    source.changed.clear()
    return changed


def fact(table: str, row: Row) -> tuple[Any, ...]:
    """The fact row for a source row, in the order of the fact's columns without its key."""
    created, updated = row["created_at"], row["last_updated"]
    days = {name: row[name] and date.fromisoformat(row[name]) for name in DAYS[table]}
    columns = {
        "sales_order": ["staff_id", "counterparty_id", "units_sold", "unit_price", "currency_id", "design_id"],
        "purchase_order": [
            "staff_id",
            "counterparty_id",
            "item_code",
            "item_quantity",
            "item_unit_price",
            "currency_id",
        ],
        "payment": ["transaction_id", "counterparty_id", "payment_amount", "currency_id", "payment_type_id", "paid"],
    }[table]
    location = [] if table == "payment" else [row["agreed_delivery_location_id"]]
    return (
        row[f"{table}_id"],
        *(created.date(), created.time(), updated.date(), updated.time()),
        *(row[name] for name in columns),
        *days.values(),
        *location,
    )


def star_dimensions(model: Model) -> dict[str, set[tuple[Any, ...]]]:
    """All dimensions except the days, computed from the latest rows of their tables."""
    latest = model.dimensions
    departments, addresses = latest["department"], latest["address"]
    address = ["address_line_1", "address_line_2", "district", "city", "postal_code", "country", "phone"]

    def picked(table: str, *columns: str) -> set[tuple[Any, ...]]:
        return {(row_id, *(row[column] for column in columns)) for row_id, row in latest[table].items()}

    return {
        "dim_location": picked("address", *address),
        "dim_design": picked("design", "design_name", "file_location", "file_name"),
        "dim_payment_type": picked("payment_type", "payment_type_name"),
        "dim_transaction": picked("transaction", "transaction_type", "sales_order_id", "purchase_order_id"),
        "dim_currency": {
            (row_id, row["currency_code"], NAMES.get(row["currency_code"]))
            for row_id, row in latest["currency"].items()
        },
        "dim_staff": {
            (
                row_id,
                *(row["first_name"], row["last_name"]),
                *(departments.get(row["department_id"], {}).get(name) for name in ("department_name", "location")),
                row["email_address"],
            )
            for row_id, row in latest["staff"].items()
        },
        "dim_counterparty": {
            (
                row_id,
                row["counterparty_legal_name"],
                *(addresses.get(row["legal_address_id"], {}).get(name) for name in address),
            )
            for row_id, row in latest["counterparty"].items()
        },
    }


def star_days(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The expected `dim_date` of some facts: every day from their earliest date to their latest date."""
    used = [value for row in rows for value in row if isinstance(value, date)]
    if not used:
        return []
    span = (max(used) - min(used)).days + 1
    days = [min(used) + timedelta(days=number) for number in range(span)]
    return [
        (
            day,
            *(day.year, day.month, day.day, day.isoweekday()),
            *(f"{day:%A}", f"{day:%B}", (day.month + 2) // 3),
        )
        for day in days
    ]
