"""Columns of staging tables."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tasks.contracts.spelling import Spelling, is_tuple_of_texts
from tasks.contracts.spelt_types import type_for_spelling
from tasks.contracts.types import SUPPORTED, ColumnType


@dataclass(frozen=True)
class Column:
    """One column of a staging table, and the source of its values.

    Attributes:
        name: Name in the table.
        type: Declared type; see `tasks.contracts.types`.
        description: Meaning and unit, for the data dictionary (a comment on the column).
        source: Name of the source column in the object, or a JSON path (`tasks.contracts.paths`). Defaults to `name`.
            Two columns may share a source.
        aliases: Alternative names of the source column.
        nullable: Whether the value may be missing. If not, a row without a value is rejected.
        first: Number of leading characters of the source to use; 0 uses the whole source.
        after: ASCII character. The column uses only the text after its last occurrence in the source, or null if the
            source does not contain it. Empty uses the whole source.
        derive: Converts the text (or None) into the text of the value; returns None for an invalid value. The result is
            memoised per distinct input.
        sensitive: Whether the values are personal data or give access to such data. No message, log line or artifact
            shows them, nor a raw record of a dataset with such a column. The ledger keeps the raw records.
        nulls: Texts of the source that mean null, such as `NA`. They replace the contract's. They are compared with the
            whole source, exactly, before `first`, `after` and `derive`.
        spelling: How the source spells values. It replaces the contract's spelling.
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
    sensitive: bool = False
    nulls: tuple[str, ...] | None = None
    spelling: Spelling | None = None

    @property
    def source_name(self) -> str:
        """Name of the column in the object."""
        return self.source or self.name

    @property
    def is_derived(self) -> bool:
        """Whether a Python function computes the column's values."""
        return bool(self.derive or self.type.derive)

    def read_as(self, dataset: str, nulls: tuple[str, ...], spelling: Spelling) -> "Column":
        """Return the column with its null markers and its spelling, and with a type that reads this spelling.

        Args:
            dataset: The dataset, for messages.
            nulls: Null markers of the contract.
            spelling: Spelling of the contract.

        Raises:
            ValueError: The null markers are not texts, or the spelling does not fit the type.
            TypeError: The type is not a `ColumnType`, or `derive` has no hash.
        """
        name = f"contract {dataset}, column {self.name}"
        if self.derive and not _has_hash(self.derive):
            raise TypeError(
                f"{name}: expected derive to be a function or an object with a hash, found"
                f" {type(self.derive).__name__}. Declare eq=False for its class, such as"
                " @dataclass(frozen=True, eq=False)"
            )
        if not isinstance(self.type, ColumnType):
            raise TypeError(
                f"{name}: expected a type of tasks.contracts.types, found {self.type!r}. Valid types are"
                f" {', '.join(SUPPORTED)}"
            )
        nulls = nulls if self.nulls is None else self.nulls
        if not is_tuple_of_texts(nulls) or any("\0" in text for text in nulls):
            raise ValueError(
                f'{name}: expected nulls to be a tuple of texts without NUL, such as ("NA",), found {nulls!r}.'
                " Correct the contract"
            )
        spelling = self.spelling or spelling
        try:
            return replace(self, type=type_for_spelling(self.type, spelling), nulls=nulls, spelling=spelling)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def value_of(self, text: str | None) -> str | None:
        """Convert the used part of the source, or None, into the value's text. Return None for an invalid value."""
        value = self.derive(text) if self.derive else text
        return self.type.derive(value) if self.type.derive and value is not None else value


def _has_hash(value: object) -> bool:
    """Return whether a value has a hash. An object may have none because of a value that it holds."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
