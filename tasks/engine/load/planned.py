"""What a plan says about the load of some objects."""

from dataclasses import dataclass
from typing import Literal

from tasks.engine.load.sample_check import SampleCheck
from tasks.engine.receipts import ObjectRef


@dataclass(frozen=True)
class ColumnPlan:
    """The match of one column of the contract.

    Attributes:
        source: Name of the column in the contract.
        found: Name of the column in the object, or None if it is missing.
        state: `matched`, `aliased`, `missing` or `duplicated`.
    """

    source: str
    found: str | None
    state: Literal["matched", "aliased", "missing", "duplicated"]


@dataclass(frozen=True)
class ObjectPlan:
    """The planned load of one object.

    Attributes:
        action: `load` (a new object), `replace` (an earlier version is loaded), or `nothing` (already loaded).
        rows_replaced: Number of rows that would be removed.
        columns: The match of the contract's columns.
        unknown: Columns of the object that the contract does not declare.
        is_reordered: Whether the order of the columns differs from the contract. Always false for JSON.
        error: The error that would fail the load, as far as the sample of the object shows it. None if it shows none.
        check: The check of a sample of the rows. None if the object is not read or cannot be read.
    """

    source: ObjectRef
    action: Literal["load", "replace", "nothing"]
    rows_replaced: int
    columns: tuple[ColumnPlan, ...] = ()
    unknown: tuple[str, ...] = ()
    is_reordered: bool = False
    error: str | None = None
    check: SampleCheck | None = None

    @property
    def would_fail(self) -> bool:
        """Whether the load would fail."""
        return self.error is not None or (self.check is not None and self.check.would_fail)


@dataclass(frozen=True)
class Plan:
    """The planned load of some objects.

    Attributes:
        created: Tables that would be created.
        statements: Statements that the DDL step would first execute for existing tables.
        drift: Differences that the DDL step would refuse.
        removed: Loaded objects that the supplier removed, each with the number of rows that would be deleted.
    """

    dataset: str
    table: str
    created: tuple[str, ...]
    objects: tuple[ObjectPlan, ...]
    statements: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()

    @property
    def would_fail(self) -> bool:
        """Whether the load of an object, or the DDL step before it, would fail."""
        return bool(self.drift) or any(planned.would_fail for planned in self.objects)
