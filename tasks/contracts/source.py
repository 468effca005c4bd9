"""An operational database that a pipeline extracts: its tables, its login and the buckets of its files."""

from dataclasses import dataclass

from tasks.contracts.expectations import Within
from tasks.contracts.settings import Setting
from tasks.contracts.source_table import SourceTable


@dataclass(frozen=True)
class Source:
    """An operational database.

    Attributes:
        name: Name in the ledger, and of the Prefect block with the secret. In capitals, it begins the names of the two
            variables of the login.
        tables: The tables to extract.
        csv_bucket: Setting with the bucket for the extracted CSV files.
        parquet_bucket: Setting with the bucket for the parquet files.
        expected: The time within which a change must arrive in the warehouse. The flow `freshness` fails if a change is
            older and not there. None: no limit.
    """

    name: str
    tables: tuple[SourceTable, ...]
    csv_bucket: Setting
    parquet_bucket: Setting
    expected: Within | None = None

    @property
    def dsn_variable(self) -> str:
        """Name of the variable that holds the login as a DSN, such as `TOTESYS_DSN`."""
        return f"{self._variable}_DSN"

    @property
    def secret_variable(self) -> str:
        """Name of the variable that holds the name of the login's secret, such as `TOTESYS_SECRET`."""
        return f"{self._variable}_SECRET"

    @property
    def _variable(self) -> str:
        return self.name.upper().replace("-", "_")
