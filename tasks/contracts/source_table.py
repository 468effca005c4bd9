"""Tables of an operational database that a pipeline extracts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceTable:
    """A table of an operational database.

    Attributes:
        name: Name of the table and of its objects in the lake.
        key: Column that identifies a row.
        columns: Columns to extract, in this order.
        changed_at: Column that says when a row was changed last.
        schema: Schema of the table.
    """

    name: str
    key: str
    columns: tuple[str, ...]
    changed_at: str = "last_updated"
    schema: str = "public"

    @property
    def place(self) -> str:
        """`schema.table` in the database."""
        return f"{self.schema}.{self.name}"
