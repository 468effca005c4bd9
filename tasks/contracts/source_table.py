"""What is extracted of a table in an operational database."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceTable:
    """A table of an operational database.

    Attributes:
        name: Its name, and that of its objects in the lake.
        key: Column that identifies a row.
        columns: What is extracted, in this order.
        changed_at: Column that says when its row was changed last.
        schema: Where it stands.
    """

    name: str
    key: str
    columns: tuple[str, ...]
    changed_at: str = "last_updated"
    schema: str = "public"
