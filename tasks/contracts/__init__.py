"""Contracts: the single source of truth about a staging table and the objects that fill it.

A contract drives parsing, validation, the staging DDL, the COPY column list, the schema-drift report and the data
dictionary. Types are declared, never inferred.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tasks.contracts.columns import Column as Column
from tasks.contracts.delivery import Delivery, check_delivery
from tasks.contracts.expectations import Expected
from tasks.contracts.formats import Format, check_sources
from tasks.contracts.identifiers import check_identifiers
from tasks.contracts.settings import KEY_CHECKS, Check, Field, Setting, object_key, setting_of
from tasks.contracts.spelling import AS_POSTGRES, Spelling
from tasks.contracts.volume import USUAL, Volume

UNKNOWN_KEYS = "unknown keys"
"""Source of a jsonb column that collects the keys of a JSON record that no other column takes, as one object. The value
is null if the record has no such key. An inner object is kept without the keys that paths take."""


LOAD_ID, LINE_NUMBER = "load_id", "line_number"
"""Columns of every staging table: the load that brought a row, and the line of the object where its record begins."""

LOAD_COLUMNS = ("loaded_at", "source_uri", "source_version", "flow_run_id")
"""Columns that `<table>_ingested` adds to the columns of a staging table, from `ledger.loads`."""

INGESTED = "_ingested"
"""What the name of the view adds to the name of the staging table."""

_SYSTEM_COLUMNS = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax")


@dataclass(frozen=True)
class Partition:
    """The partitioning of a staging table by a date column, with one value for each month or day of files.

    Attributes:
        column: The partition column, of type date: the first day of the month, or the day.
        unit: The period of one partition. The objects of one partition are loaded and built together.
        span: The period of one partition table in Postgres: one `unit`, or a year for units so small that one table for
            each would slow down every query.
    """

    column: str
    unit: Literal["month", "day"]
    span: Literal["unit", "year"] = "unit"

    @property
    def table_suffix(self) -> str:
        """The longest text that Tally adds to the name of the table: for a partition's table, or for the view."""
        days = "_2021_04_30" if self.unit == "day" and self.span == "unit" else ""
        return max(INGESTED, days, key=len)


@dataclass(frozen=True)
class Contract:
    r"""One dataset: its staging table, its columns and its objects.

    Attributes:
        dataset: Name in the ledger.
        table: `schema.table` of the staging table.
        description: The grain (the meaning of one row), for the data dictionary.
        columns: The columns in the order of the table.
        prefix: The prefix of the objects' keys. None for a flow whose runs write their own objects. A text is a default
            that the variable `<DATASET>_PREFIX` overrides, such as `FLIGHTS_PREFIX`. A `Setting` names its variable.
        key: The template of the keys below the prefix; see `tasks.contracts.keys`. A text is a default that the
            variable `<DATASET>_KEY` overrides. With partitions, the template must contain their year, month and day.
        bucket: The bucket of the objects. A text is a default that the variable `<DATASET>_BUCKET` overrides. None: the
            value of that variable, else the bucket of the lake.
        partition: The partitioning. None for a table that one object fills completely.
        keys: Only for a dataset without partitions: the key of its object below the prefix, and alternative keys. The
            most recently written object is loaded.
        delivery: Only for a dataset without partitions. `replace`: the newest object replaces all rows. `append`: each
            object whose key matches `key` adds its rows once, and a changed object replaces its own rows only.
        success_marker: Name of an object such as `_SUCCESS` that the supplier writes last into the folder of a
            partition's objects. Without it the objects count as not delivered yet. Empty: no such object.
        is_optional: Whether the objects of the dataset or of a partition may be missing. If they are missing, the table
            keeps its rows.
        unknown_columns: Whether a column that the contract does not declare fails the load or causes a warning.
        format: The format of the objects. None: the suffix of each object's name gives it (`.csv`, `.tsv`, `.psv`,
            `.json`, `.geojson`, `.ndjson`, `.jsonl` or `.parquet`).
        records_key: Key or path of the array with a JSON document's records. Empty if the document itself is the array,
            `WHOLE_DOCUMENT` if it is one record.
        absent_keys: Whether a key that is missing from every record of a JSON object fails the load or counts as null.
        indexes: The columns of each index that the builds need.
        may_shrink: Whether a new version of an object may have fewer rows than the rows it replaces, or none.
        expected: The deadline of each partition, or of each day for a dataset without partitions. The flow `freshness`
            fails if a partition is not loaded by then. None: no deadline.
        volume: The usual number of rows of an object. By default, an object with far fewer or far more rows than the
            last twelve objects causes a warning. None: any number is normal.
        line_numbers: Whether each row of the staging table keeps the line number of its record. In parquet this is the
            number of the row.
        is_read: Whether analysts may read the view `<table>_ingested`.
        nulls: Texts that mean null in every column, such as `("NA", "\N")`; see `Column.nulls`. With `""`, an empty
            string in a text column is null too.
        spelling: How the objects spell values; see `tasks.contracts.spelling`.
    """

    dataset: str
    table: str
    description: str
    columns: tuple[Column, ...]
    prefix: Setting | str | None = None
    key: Setting | str | None = None
    partition: Partition | None = None
    bucket: Setting | str | None = None
    keys: tuple[str, ...] = ()
    delivery: Delivery = "replace"
    success_marker: str = ""
    is_optional: bool = False
    unknown_columns: Literal["warn", "fail"] = "warn"
    format: Format | None = None
    records_key: str = ""
    absent_keys: Literal["fail", "null"] = "fail"
    indexes: tuple[tuple[str, ...], ...] = ()
    may_shrink: bool = False
    expected: Expected | None = None
    volume: Volume | None = USUAL
    line_numbers: bool = True
    is_read: bool = False
    nulls: tuple[str, ...] = ()
    spelling: Spelling = AS_POSTGRES

    def __post_init__(self) -> None:
        """Check the columns, the defaults of the prefix, the key and the bucket, and the declared format.

        Raises:
            ValueError: Two columns share a name, a column has the name of a column that Tally or Postgres adds, a name
                is too long, null markers are not texts, the key template or the delivery does not fit the partitions,
                or the declared format lacks a column.
            TypeError: The type of a column is not a `ColumnType`, or its `derive` has no hash.
        """
        _ = self.settings
        check_delivery(
            self.dataset,
            self.delivery,
            is_partitioned=self.partition is not None,
            has_key=self.key is not None,
            has_keys=bool(self.keys),
            success_marker=self.success_marker,
        )
        taken = [LOAD_ID, LINE_NUMBER, *LOAD_COLUMNS, *_SYSTEM_COLUMNS]
        taken += [self.partition.column] if self.partition else []
        for column in self.columns:
            if column.name in taken:
                raise ValueError(
                    f"contract {self.dataset}, column {column.name}: expected a name that no other column of"
                    f" {self.table} or of its view has, found a second column {column.name}. Give the column another"
                    f' name, and name the column of the object as its source: Column("delivered_{column.name}", ...,'
                    f' source="{column.source_name}")'
                )
            taken.append(column.name)
        added = self.partition.table_suffix if self.partition else INGESTED
        check_identifiers(self.dataset, self.table, taken, added)
        _ = self.read_columns
        if self.format:
            check_sources(self.format, self.dataset, self.sources, self.unknown_keys_column)

    @cached_property
    def settings(self) -> Mapping[Field, Setting]:
        """The settings of the contract, by field. The contract may lack a prefix, a key or a bucket."""
        found: dict[Field, Setting | None] = {
            "prefix": self.prefix_setting,
            "key": self.key_setting,
            "bucket": self.bucket_setting,
        }
        return {field: setting for field, setting in found.items() if setting}

    @cached_property
    def prefix_setting(self) -> Setting | None:
        """Setting with the prefix of the objects' keys. None for a flow whose runs write their own objects."""
        return None if self.prefix is None else setting_of(self.dataset, "prefix", self.prefix)

    @cached_property
    def key_setting(self) -> Setting | None:
        """Setting with the template of the keys below the prefix."""
        check: Check = KEY_CHECKS[self.partition.unit] if self.partition else object_key
        return None if self.key is None else setting_of(self.dataset, "key", self.key, check)

    @cached_property
    def bucket_setting(self) -> Setting | None:
        """Setting with the bucket of the objects; an empty value is the bucket of the lake.

        None for a flow whose runs write their own objects.
        """
        if self.prefix is None and self.bucket is None:
            return None
        return setting_of(self.dataset, "bucket", "" if self.bucket is None else self.bucket)

    @cached_property
    def read_columns(self) -> tuple[Column, ...]:
        """The columns with their null markers and their spelling, and with types that read this spelling.

        Raises:
            ValueError: The null markers are not texts, or a spelling does not fit the type of its column.
            TypeError: The type of a column is not a `ColumnType`, or its `derive` has no hash.
        """
        return tuple(column.read_as(self.dataset, self.nulls, self.spelling) for column in self.columns)

    def nulls_of(self, column: Column) -> tuple[str, ...]:
        """Return the texts that mean null in a column."""
        return self.nulls if column.nulls is None else column.nulls

    def spelling_of(self, column: Column) -> Spelling:
        """Return how the source of a column spells values."""
        return column.spelling or self.spelling

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The columns that an object must contain, in order, each with its aliases."""
        names: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            if column.source_name != UNKNOWN_KEYS:
                names[column.source_name] = names.get(column.source_name, ()) + column.aliases
        return names

    @property
    def is_appended(self) -> bool:
        """Whether the objects of a dataset without partitions add their rows and do not replace one another."""
        return self.partition is None and self.delivery == "append"

    @property
    def is_sensitive(self) -> bool:
        """Whether a column holds personal data."""
        return any(column.sensitive for column in self.columns)

    @property
    def unknown_keys_column(self) -> str | None:
        """Name of the column that stores the keys of JSON records that the contract does not declare."""
        return next((column.name for column in self.columns if column.source_name == UNKNOWN_KEYS), None)

    @property
    def ingested(self) -> str:
        """`schema.view` of the view that adds its object and its load to each row of the staging table."""
        return f"{self.table}{INGESTED}"

    @property
    def schema(self) -> str:
        """Postgres schema of the staging table."""
        return self.table.split(".")[0]

    @property
    def pipeline(self) -> str:
        """Name of the pipeline that loads the dataset: the schema without `_staging`, such as `events`."""
        return self.schema.removesuffix("_staging")
