"""Check the result of a sync: compare the star with direct queries of the source, and the lake byte by byte."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import psycopg
from sample_dataset import client

from tasks.contracts.totesys_source import SOURCE_TABLES

Rows = dict[tuple[Any, ...], tuple[Any, ...]]

_TIMES = ("created_at::date", "created_at::time(3)", "last_updated::date", "last_updated::time(3)")
_AGREED = ("agreed_delivery_date::date", "agreed_payment_date::date", "agreed_delivery_location_id")
FACTS: dict[str, tuple[str, ...]] = {
    "sales_order": (
        *("sales_order_id", *_TIMES, "staff_id AS sales_staff_id", "counterparty_id", "units_sold", "unit_price"),
        *("currency_id", "design_id", *_AGREED),
    ),
    "purchase_order": (
        *("purchase_order_id", *_TIMES, "staff_id", "counterparty_id", "item_code", "item_quantity"),
        *("item_unit_price", "currency_id", *_AGREED),
    ),
    "payment": (
        *("payment_id", *_TIMES, "transaction_id", "counterparty_id", "payment_amount", "currency_id"),
        *("payment_type_id", "paid", "payment_date::date"),
    ),
}
_WAREHOUSE_NAMES = {
    "created_at::date": "created_date",
    "created_at::time(3)": "created_time",
    "last_updated::date": "last_updated_date",
    "last_updated::time(3)": "last_updated_time",
    "staff_id AS sales_staff_id": "sales_staff_id",
}
VERSION_PLACES = (0, 3, 4)
"""Positions of the version in a fact's row: id, date and time of the last update."""

DIMENSIONS = {
    "dim_staff": "SELECT staff_id, first_name, last_name, department_name, location, email_address"
    " FROM staff LEFT JOIN department USING (department_id)",
    "dim_location": "SELECT address_id, address_line_1, address_line_2, district, city, postal_code, country, phone"
    " FROM address",
    "dim_currency": "SELECT currency_id, currency_code, CASE currency_code WHEN 'GBP' THEN 'Pound Sterling'"
    " WHEN 'USD' THEN 'US Dollar' WHEN 'EUR' THEN 'Euro' END FROM currency",
    "dim_design": "SELECT design_id, design_name, file_location, file_name FROM design",
    "dim_counterparty": "SELECT counterparty_id, counterparty_legal_name, address_line_1, address_line_2, district,"
    " city, postal_code, country, phone FROM counterparty LEFT JOIN address ON legal_address_id = address_id",
    "dim_payment_type": "SELECT payment_type_id, payment_type_name FROM payment_type",
    "dim_transaction": "SELECT transaction_id, transaction_type, sales_order_id, purchase_order_id FROM transaction",
}


@dataclass
class Star:
    """The expected warehouse: every version that a finished run saw, and the latest dimensions."""

    source: psycopg.Connection[Any]
    versions: dict[str, Rows] = field(default_factory=lambda: {table: {} for table in FACTS})
    current: dict[str, Rows] = field(default_factory=dict)
    dimensions: dict[str, Rows] = field(default_factory=lambda: {table: {} for table in DIMENSIONS})

    def see(self) -> None:
        """Read the source as a run does."""
        for table, columns in FACTS.items():
            rows = self.source.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            self.current[table] = {row[:1]: row for row in rows}
            self.versions[table] |= {tuple(row[place] for place in VERSION_PLACES): row for row in rows}
        for table, query in DIMENSIONS.items():
            self.dimensions[table] |= {row[:1]: row for row in self.source.execute(query).fetchall()}

    def assert_equals_source(self, warehouse: psycopg.Connection[Any], *, is_compared: bool) -> None:
        """Compare the warehouse with the expected versions.

        Args:
            warehouse: Connection to the warehouse.
            is_compared: Whether the keys were compared after the last deletion.
        """
        for table, columns in FACTS.items():
            names = ", ".join(_WAREHOUSE_NAMES.get(name, name.removesuffix("::date")) for name in columns)
            history = warehouse.execute(f"SELECT {names} FROM totesys_warehouse.fact_{table}").fetchall()
            assert sorted(history) == sorted(self.versions[table].values()), table
            found = warehouse.execute(f"SELECT {names} FROM totesys_warehouse.fact_{table}_current").fetchall()
            kept = found if is_compared else [row for row in found if row[:1] in self.current[table]]
            assert sorted(kept) == sorted(self.current[table].values()), table
        for table, rows in self.dimensions.items():
            assert sorted(warehouse.execute(f"SELECT * FROM totesys_warehouse.{table}").fetchall()) == sorted(
                rows.values()
            ), table
        assert warehouse.execute("SELECT * FROM totesys_warehouse.quarantine WHERE is_waiting").fetchall() == []


@dataclass
class Stores:
    """The two stores. Checks that no file of a run ever changes or disappears."""

    csv: str
    parquet: str
    _seen: dict[str, str] = field(default_factory=dict)

    def buckets(self) -> Iterator[tuple[str, str]]:
        yield from (("csv", self.csv), ("parquet", self.parquet))

    def keys(self, kind: str) -> list[str]:
        return sorted(_listed(dict(self.buckets())[kind]))

    def times(self) -> list[tuple[str, Any]]:
        """Time of the last write of each object."""
        listed = (client().list_objects_v2(Bucket=bucket)["Contents"] for _, bucket in self.buckets())
        return [(item["Key"], item["LastModified"]) for items in listed for item in items]

    def text(self, kind: str, key: str) -> str:
        return _body(dict(self.buckets())[kind], key).decode()

    def look(self) -> None:
        """Compare the files of runs, moved or not, with the earlier files, and remember them."""
        found: dict[str, str] = {}
        for kind, bucket in self.buckets():
            for key, tag in _listed(bucket).items():
                folder, _, rest = key.partition("/")
                if folder in ("input", "processed") and "/" in rest:
                    # A file exists twice between its copy and its removal.
                    assert found.setdefault(f"{kind} {rest}", tag) == tag, key
        assert {name: found.get(name) for name in self._seen} == self._seen
        self._seen = found

    def assert_complete(self, warehouse: psycopg.Connection[Any]) -> None:
        """Check that files, markers and logs agree with the ledger, and that the stores hold no other objects."""
        query = "SELECT run_number, row_counts FROM ledger.sync_runs WHERE status = 'loaded' ORDER BY run_number"
        runs = {number: sorted(counts) for number, counts in warehouse.execute(query).fetchall()}
        died = [n for (n,) in warehouse.execute("SELECT run_number FROM ledger.sync_runs WHERE status = 'superseded'")]
        for kind, bucket in self.buckets():
            uploads = client().list_multipart_uploads(Bucket=bucket)
            assert uploads.get("Uploads", []) == []
            names = [f"{number}/{table}.{kind}" for number, tables in runs.items() for table in tables]
            others = {f"input/setup_success_{kind}_input.txt", f"input/{kind}_export_completed.txt"}
            others |= {f"processed/{kind}_processed.txt"} | ({"run_number.txt"} if kind == "csv" else set())
            left = {
                key for key in self.keys(kind) if kind == "csv" and key.startswith(tuple(f"input/{n}/" for n in died))
            }
            assert set(self.keys(kind)) - left == {f"processed/{name}" for name in names} | others
            assert self.text(kind, f"processed/{kind}_processed.txt").splitlines() == names
            assert self.text(kind, f"input/{kind}_export_completed.txt") == str(max(runs))
        assert self.text("csv", "run_number.txt") == str(max(runs))

    def assert_parquet_is_csv(self, run_number: int, table: str) -> pl.DataFrame:
        """Check that both files of a table hold equal values, with null and empty text distinct; return the rows."""
        text = self.text("csv", f"processed/{run_number}/{table}.csv")
        names, *lines = list(csv.reader(io.StringIO(text, newline="")))
        source = next(source for source in SOURCE_TABLES if source.name == table)
        assert tuple(names) == source.columns
        frame = pl.read_parquet(_body(self.parquet, f"processed/{run_number}/{table}.parquet"))
        spelt = frame.with_columns(
            pl.selectors.boolean().replace_strict({True: "t", False: "f"}, return_dtype=pl.String),
            pl.selectors.datetime().dt.to_string("%Y-%m-%d %H:%M:%S%.f").str.replace(r"\.?0+$", ""),
        ).cast(pl.String)
        rounded = [[_trimmed(value) if ":" in value else value for value in line] for line in lines]
        assert [["" if value is None else value for value in row] for row in spelt.rows()] == rounded
        return frame


def _trimmed(value: str) -> str:
    return value.rstrip("0").rstrip(".") if "." in value else value


def _listed(bucket: str) -> dict[str, str]:
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}


def _body(bucket: str, key: str) -> bytes:
    return client().get_object(Bucket=bucket, Key=key)["Body"].read()
