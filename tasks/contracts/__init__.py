"""What a contract is: the single source of truth about one staging table and the objects that fill it.

A contract drives parsing, validation, the staging DDL, the COPY column list, the schema-drift report and the data
dictionary. Types are declared, never inferred.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tasks.contracts.types import ColumnType

UNKNOWN_KEYS = "unknown keys"
"""As the source of a column of jsonb: the keys of a JSON record that no other column takes, as one object; null where
there are none."""


@dataclass(frozen=True)
class Column:
    """One column of a staging table and where its value comes from.

    Attributes:
        name: Name in the table.
        type: Declared type; see `tasks.contracts.types`.
        description: Meaning and unit, for the data dictionary (a comment on the column).
        source: Name in the object; the column's own name where it is not given. Two columns may share a source.
        aliases: Other names under which the source is delivered.
        nullable: Whether a missing value is a value; where it is not, a row without one is rejected.
        first: Only the first so many characters of the source count; 0: all.
        after: Only what follows the last such ASCII character of the source counts, nothing where there is none; empty:
            all.
        derive: What that text, or nothing, stands for; None where it is no value. Called once for all rows that hold
            the same. The value is the type's of what it returns.
    """

    name: str
    type: ColumnType
    description: str
    source: str = ""
    aliases: tuple[str, ...] = ()
    nullable: bool = True
    first: int = 0
    after: str = ""
    derive: Callable[[str | None], str | None] | None = None

    @property
    def source_name(self) -> str:
        """Name of the column in the object."""
        return self.source or self.name

    @property
    def is_derived(self) -> bool:
        """Whether its values are not just texts of its type."""
        return bool(self.derive or self.type.derive)

    def value_of(self, text: str | None) -> str | None:
        """What the part of its source that counts, or nothing, stands for; None where it is no value."""
        value = self.derive(text) if self.derive else text
        return self.type.derive(value) if self.type.derive and value is not None else value


@dataclass(frozen=True)
class Partition:
    """How a staging table is divided: one value of a date column for each month or day of files.

    Attributes:
        column: The column, of type date: the first day of the month, or the day.
        unit: What one partition holds: the objects that are loaded and built together.
        span: What one partition of the table in Postgres holds: one `unit`, or all those of a year, for units so small
            that a table each would cost every query more than it spares.
    """

    column: str
    unit: Literal["month", "day"]
    span: Literal["unit", "year"] = "unit"


@dataclass(frozen=True)
class Contract:
    """One dataset: its staging table, its columns and its objects.

    Attributes:
        dataset: Name in the ledger.
        table: `schema.table` of the staging table.
        description: What one row is (the grain), for the data dictionary.
        columns: In the order of the table.
        prefix_setting: Field of `RunSettings` that holds the prefix of the objects' keys; empty where the runs of a
            flow bring objects of their own.
        key_setting: Field of `RunSettings` that holds the template of the keys below the prefix; see
            `tasks.contracts.keys`. For a dataset with partitions.
        partition: None for a table that one object fills as a whole.
        keys: For a dataset without partitions: the key of its object below the prefix, and the others under which it is
            delivered, too. The one that was written last counts.
        is_optional: Whether the dataset's object, or those of a partition, may be missing; the rows stay as they are
            then.
        unknown_columns: What a column of the object that the contract does not know does to the load.
        records_key: Key of the array that holds a JSON document's records; empty where the document is the array.
        absent_keys: What a key that no record of a JSON object has does to the load: fails it, or is null.
        indexes: Columns of each index that the builds need.
        may_shrink: Whether an object may replace rows by none, or by any smaller number.
    """

    dataset: str
    table: str
    description: str
    columns: tuple[Column, ...]
    prefix_setting: str
    key_setting: str = ""
    partition: Partition | None = None
    keys: tuple[str, ...] = ()
    is_optional: bool = False
    unknown_columns: Literal["warn", "fail"] = "warn"
    records_key: str = ""
    absent_keys: Literal["fail", "null"] = "fail"
    indexes: tuple[tuple[str, ...], ...] = ()
    may_shrink: bool = False

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns that an object must bring, each with its aliases, in order."""
        names: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            if column.source_name != UNKNOWN_KEYS:
                names[column.source_name] = names.get(column.source_name, ()) + column.aliases
        return names

    @property
    def unknown_keys_column(self) -> str | None:
        """Name of the column that keeps the keys of JSON records which the contract does not know."""
        return next((column.name for column in self.columns if column.source_name == UNKNOWN_KEYS), None)

    @property
    def schema(self) -> str:
        """Postgres schema of the staging table."""
        return self.table.split(".")[0]
