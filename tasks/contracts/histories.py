"""What a history is: a table that keeps every version of a source's rows, of which the latest is current."""

from dataclasses import dataclass

from tasks.contracts import Contract


@dataclass(frozen=True)
class History:
    """A table with one row per version of a source's row.

    A version is told by the source's id and `last_updated`, which the table holds as `last_updated_date` and
    `last_updated_time`. `deleted_at` says when a version was found to be gone from the source.

    Attributes:
        contract: Of the staging table that its rows come from.
        table: `schema.table` of the history.
        source_id: Column of the source's id, in both.
        row_id: Column of the history's own key.
        quarantine: `schema.table` where versions wait that cannot stand in the history yet.
    """

    contract: Contract
    table: str
    source_id: str
    row_id: str
    quarantine: str

    @property
    def source_table(self) -> str:
        """Name of the source's table."""
        return self.contract.table.split(".")[1]

    @property
    def current(self) -> str:
        """`schema.view` of the current versions."""
        return f"{self.table}_current"
