"""The rights that the flows' role needs on each table, derived from the contracts and from `sql/`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.build.sql_files import ROOT, SqlTable, tables_of
from tasks.engine.schema.desired import wanted_objects

LOADER, ANALYST = "tally_loader", "tally_analyst"
"""Default names of the role that runs the flows, and of the role that reads the results."""

_RIGHTS = {
    "replace": ("SELECT", "INSERT", "DELETE"),
    "merge": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "history": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "append": ("SELECT", "INSERT"),
    "upsert": ("SELECT", "INSERT", "UPDATE"),
}
"""Rights that the loader needs to write a table, by write disposition. Only the first three remove rows."""

_LEDGER_RIGHTS = ("SELECT", "INSERT", "UPDATE")


@dataclass(frozen=True)
class Pipeline:
    """The datasets and tables of a pipeline.

    Attributes:
        name: Name of the staging schema without `_staging`.
        contracts: Contracts of the staging tables.
        schemas: Schemas under `sql/` that derive from the staging tables.
    """

    name: str
    contracts: tuple[Contract, ...]
    schemas: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """A table or a view, and the rights of the roles.

    Attributes:
        name: `schema.name`.
        loader: Rights of the loader.
        is_read: Whether analysts may read it.
        is_shared: Whether another owner may own the table. Then that owner grants the rights.
        gets_partitions: Whether loads add partitions, which Postgres allows only to the owner.
        is_generated: Whether it is the view of a staging table.
    """

    name: str
    loader: tuple[str, ...]
    is_read: bool = False
    is_shared: bool = False
    gets_partitions: bool = False
    is_generated: bool = False

    @property
    def schema(self) -> str:
        """Schema of the table or view."""
        return self.name.split(".")[0]


def pipelines(root: Path = ROOT) -> dict[str, Pipeline]:
    """All pipelines, by name: each staging schema with every schema that derives from it."""
    groups: dict[str, list[Contract]] = {}
    for contract in contracts().values():
        groups.setdefault(contract.pipeline, []).append(contract)
    folders = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and folder.name != "ledger")
    tables = [table for schema in folders for table in tables_of(schema, root)]
    return {
        name: Pipeline(name, tuple(group), _derived_schemas(name, group, folders, tables))
        for name, group in sorted(groups.items())
    }


def _derived_schemas(
    name: str, group: Sequence[Contract], folders: Iterable[str], tables: Sequence[SqlTable]
) -> tuple[str, ...]:
    """Schemas with the pipeline's name, and schemas with a table that reads the pipeline's tables."""
    found = {contract.schema for contract in group} | {each for each in folders if each.startswith(f"{name}_")}
    count = 0
    while count != len(found):
        count = len(found)
        for table in tables:
            if any(source.split(".")[0] in found for source in table.sources):
                found.add(table.name.split(".")[0])
        # Such a table may also read a shared reference table, which derives from no dataset.
        read = {source for table in tables if table.name.split(".")[0] in found for source in table.sources}
        found |= {each.name.split(".")[0] for each in tables if each.name in read and each.is_shared}
    return tuple(each for each in folders if each in found)


def relations_of(pipeline: Pipeline, root: Path = ROOT) -> list[Relation]:
    """The ledger, and all tables and views that a pipeline's flows read or write."""
    views = {each.name for each in wanted_objects(pipeline.contracts, pipeline.schemas, root) if each.is_view}
    found = [
        Relation(table.name, ("SELECT",) if table.access == "owner" or table.name in views else _LEDGER_RIGHTS)
        for table in tables_of("ledger", root)
    ]
    for contract in pipeline.contracts:
        # Loads and replays insert and delete rows; no load changes a row.
        found.append(Relation(contract.table, _RIGHTS["replace"], gets_partitions=contract.partition is not None))
        found.append(Relation(contract.ingested, ("SELECT",), contract.is_read, is_generated=True))
    for table in (table for schema in pipeline.schemas for table in tables_of(schema, root)):
        if table.text("table.sql"):
            is_view = table.name in views or not table.text("query.sql")
            rights = ("SELECT",) if is_view else _RIGHTS[table.disposition.kind]
            found.append(Relation(table.name, rights, not table.access, table.is_shared))
    return found
