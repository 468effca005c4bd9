"""Histories: tables that keep every version of a source's rows. The latest version of a row is current."""

from dataclasses import dataclass

from tasks.contracts import Contract


@dataclass(frozen=True)
class History:
    """A table with one row per version of a source's row.

    The source's id and `last_updated` identify a version. The table holds `last_updated` as `last_updated_date` and
    `last_updated_time`. `deleted_at` says when a version was found to be missing from the source.

    Attributes:
        contract: Contract of the staging table that the rows come from.
        table: `schema.table` of the history.
        source_id: Column of the source's id, in the staging table and in the history.
        row_id: Column of the history's own key.
        quarantine: `schema.table` of the versions that wait for a dimension row.
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
